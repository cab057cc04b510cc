"""`emberline restore`: bring sources back; done when every shard has verified them."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options, sources_argument

__all__ = ["command"]


@click.command("restore", help="Bring archived sources back from the archive.")
@sources_argument
@click.option(
    "--notify-email",
    metavar="ADDRESS",
    help="Kept in the command, for a program that sends notices: emberline sends none.",
)
@request_options
@click.pass_context
def command(
    ctx: click.Context, /, sources: tuple[str, ...], tag: str | None, **options: Any
) -> None:
    """Restore sources from the archive; done when every shard has verified them."""
    carry_out(ctx, "restore", sources, tag=tag, **options)

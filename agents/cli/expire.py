"""`emberline expire`: expire stopped sources now."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options, sources_argument

__all__ = ["command"]


@click.command("expire", help="Move sources to the archive now, whatever their date.")
@sources_argument
@request_options
@click.pass_context
def command(
    ctx: click.Context, /, sources: tuple[str, ...], tag: str | None, **options: Any
) -> None:
    """Expire stopped sources now."""
    carry_out(ctx, "expire", sources, tag=tag, **options)

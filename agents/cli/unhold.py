"""`emberline unhold`: release sources that were held."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options, sources_argument

__all__ = ["command"]


@click.command("unhold", help="Release sources from a hold.")
@sources_argument
@request_options
@click.pass_context
def command(
    ctx: click.Context, /, sources: tuple[str, ...], tag: str | None, **options: Any
) -> None:
    """Release sources that were held."""
    carry_out(ctx, "unhold", sources, tag=tag, **options)

"""`emberline hold`: hold sources: they do not expire until `unhold`."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options, sources_argument

__all__ = ["command"]


@click.command("hold", help="Keep sources hot until they are released (legal hold).")
@sources_argument
@request_options
@click.pass_context
def command(
    ctx: click.Context, /, sources: tuple[str, ...], tag: str | None, **options: Any
) -> None:
    """Hold sources: they do not expire until `unhold`."""
    carry_out(ctx, "hold", sources, tag=tag, **options)

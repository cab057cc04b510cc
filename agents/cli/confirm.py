"""`emberline confirm`: let a sweep that asks for it expire what it has named."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options

__all__ = ["command"]


@click.command(
    "confirm",
    help="Let a large sweep expire exactly what it asked about. ID stands in `emberline audit` "
    "and `emberline status`; whatever changes in those sources makes it ask again.",
)
@click.argument("question", metavar="ID")
@request_options
@click.pass_context
def command(ctx: click.Context, /, question: str, **options: Any) -> None:
    """Confirm a sweep."""
    carry_out(ctx, "confirm", (question,), needs_sources=False, **options)

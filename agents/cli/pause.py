"""`emberline pause`: pause the sweep."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options

__all__ = ["command"]


@click.command("pause", help="Pause the sweep: nothing expires by itself.")
@request_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Pause the sweep."""
    carry_out(ctx, "pause", needs_sources=False, **options)

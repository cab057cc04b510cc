"""`emberline resume`: resume the sweep."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options

__all__ = ["command"]


@click.command("resume", help="Let a paused sweep go on. It confirms nothing: see `confirm`.")
@request_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Resume the sweep."""
    carry_out(ctx, "resume", needs_sources=False, **options)

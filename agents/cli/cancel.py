"""`emberline cancel`: cancel restores and expiries that are under way."""

from typing import Any

import click

from agents.cli.asking import carry_out, request_options, sources_argument

__all__ = ["command"]


@click.command(
    "cancel",
    help="Cancel restores under way, by source or request id; or an expiry, by source: also one "
    "that hangs in a shard. What is in the archive already comes back, and the source is hot.",
)
@sources_argument
@request_options
@click.pass_context
def command(
    ctx: click.Context, /, sources: tuple[str, ...], tag: str | None, **options: Any
) -> None:
    """Cancel what is under way."""
    carry_out(ctx, "cancel", sources, tag=tag, **options)

"""Flush and merge: keeping deltas few and segments large."""

import asyncio

from agents.work.context import Context
from schemas.segment import SegmentIndex
from streams import layout
from streams.store import Step

__all__ = ["mergeable", "tidy"]

_MERGE_BYTES = 8_000_000


def mergeable(context: Context) -> list[SegmentIndex]:
    """Segments that a merge may take: none archived.

    A segment of one source that is at least half full is left alone: merging it would cost
    more than reading it twice.
    """
    table, limits = context.store.table, context.limits
    return [
        index
        for index in table.segments.values()
        if not table.archived(index)
        and not (
            len(index.sources) == 1
            and (index.rows * 2 >= limits.rows or index.bytes * 2 >= limits.bytes)
        )
    ]


async def tidy(context: Context) -> bool:
    """Merges one crowd of segments; False when none overlap too much."""
    chosen = layout.choose_merge(
        mergeable(context),
        context.settings.fan_in,
        min(_MERGE_BYTES, context.settings.step_bytes),
    )
    if not chosen:
        return False
    frames = [(index, await context.store.read(index)) for index in chosen]
    puts = await asyncio.to_thread(layout.merge, frames, context.new_id, context.limits)
    await context.store.commit(Step(puts=puts))
    return True

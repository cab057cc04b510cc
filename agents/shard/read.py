"""Answers of one shard: the rows of a visible source."""

import asyncio
from collections.abc import AsyncIterator

import polars as pl

from agents.shard.agreement import check_held
from agents.shard.jobs.context import ShardContext
from streams.state.range_scan import range_scan

__all__ = ["read"]


async def read(
    context: ShardContext, source: str, version: int | None
) -> AsyncIterator[pl.DataFrame]:
    """Folded rows of `source` as of now, unaffected by later changes.

    Raises `NotHeld` before the first frame as `check_held` does.
    """
    check_held(context, source, version)
    pinned = await context.store.pin()
    # Another version, or another owner, may have come while the pin was waited for.
    check_held(context, source, version)
    recent = await asyncio.to_thread(pinned.delta_rows, source)
    segments = pinned.segments_of(source)
    async for frame in range_scan(source, segments, [recent], pinned.bytes_of, pinned.masked):
        yield frame

"""Answers of one shard: the rows of a visible source, and the sizes of all sources."""

import asyncio
from collections.abc import AsyncIterator

import polars as pl

from agents.shard.agreement import check_held
from agents.shard.jobs.context import ShardContext
from agents.shard.protocol import SourceSize
from schemas.tables.profile import PROFILE
from streams.state.range_scan import range_scan

__all__ = ["read", "sizes"]


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
    async for frame in range_scan(source, segments, [recent], pinned.bytes_of):
        yield frame


def sizes(context: ShardContext) -> dict[str, SourceSize]:
    """Stored rows and bytes of every source, hot and archived; bytes of a shared segment are
    divided by rows.
    """
    table = context.store.table
    found: dict[str, SourceSize] = {}
    for index in table.segments.values():
        for source, rows in index.sources.items():
            weight = index.bytes * rows // index.rows
            found[source] = found.get(source, SourceSize()) + SourceSize(rows, weight, 1)
    for source, rows in table.deltas.sources().items():
        found[source] = found.get(source, SourceSize()) + SourceSize(rows)
    for source, entries in table.manifest.items():
        archived = SourceSize(
            archived_rows=sum(entry.rows for entry in entries.values()),
            archived_bytes=sum(entry.bytes for entry in entries.values()),
            archived_segments=len(entries),
        )
        found[source] = found.get(source, SourceSize()) + archived
    found.pop(PROFILE, None)
    return found

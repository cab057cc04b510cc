"""Flush and merge: keep deltas few and segments large."""

import asyncio
from collections.abc import Mapping

import polars as pl

from agents.shard.jobs.context import ShardContext
from schemas.segment.index import SegmentIndex
from schemas.tables import repeats
from streams.state import auxiliary_table as auxiliary
from streams.state import compaction_plan
from streams.state.store import Put, Step

__all__ = ["compact", "mergeable", "window_merge"]

_MERGE_BYTES = 8_000_000
_WINDOW_ENTRIES = 1_000
#: Hashes of one entry, of 8 bytes each: below a record.
_WINDOW_ROWS = 90_000


def mergeable(context: ShardContext) -> list[SegmentIndex]:
    """The segments that a merge may take: archived and damaged ones are excluded, and those that
    may hold rows of erased users, which are written anew soon.

    A segment of one source that is at least half full is excluded too: merging it would cost more
    than reading it twice.
    """
    table, limits = context.store.table, context.limits
    return [
        index
        for index in table.segments.values()
        if not table.archived(index)
        and index.id not in table.unclean
        and index.id not in context.damaged
        and not (
            len(index.sources) == 1
            and (index.rows * 2 >= limits.rows or index.bytes * 2 >= limits.bytes)
        )
    ]


async def compact(context: ShardContext) -> bool:
    """Merge one set of overlapping segments, or runs of an auxiliary table; False if none is
    left.
    """
    chosen = compaction_plan.choose_merge(
        mergeable(context),
        context.settings.fan_in,
        min(_MERGE_BYTES, context.settings.step_bytes),
    )
    if not chosen:
        return await _compact_auxiliary(context)
    frames = [(index, await context.store.read(index)) for index in chosen]
    puts = await asyncio.to_thread(compaction_plan.merge, frames, context.new_id, context.limits)
    await context.store.commit(Step(puts=puts))
    return True


async def _compact_auxiliary(context: ShardContext) -> bool:
    table, settings = context.store.table, context.settings
    for each in auxiliary.TABLES if not table.unclean_runs else ():
        chosen = auxiliary.choose(
            table.runs[each.run], settings.fan_in, min(_MERGE_BYTES, settings.step_bytes)
        )
        if chosen:
            values = context.store.state_store.get_many(chosen)
            parts = [
                (key, auxiliary.decode(value or b""))
                for key, value in zip(chosen, values, strict=True)
            ]
            puts = await asyncio.to_thread(
                auxiliary.merge, each, parts, context.new_id, settings.segment_bytes
            )
            await context.store.commit(Step(puts=puts))
            return True
    return await _compact_window(context)


async def _compact_window(context: ShardContext) -> bool:
    """Joins small entries of hashes: a shard with few events makes one in each step, and each step
    searches all of them.
    """
    chosen = window_merge(context.store.table.window)
    if not chosen:
        return False
    values = await asyncio.to_thread(context.store.state_store.get_many, chosen)
    whole = pl.concat([repeats.unpack(value) for value in values if value is not None])
    # Under the last of their keys: older ones are forgotten first. What ingest has forgotten
    # meanwhile comes back, and is forgotten again.
    *others, last = chosen
    puts: list[Put] = [(key, None) for key in others]
    await context.store.commit(Step(puts=[*puts, (last, repeats.pack(whole))]))
    return True


def window_merge(window: Mapping[bytes, int]) -> list[bytes]:
    """The entries to join, oldest first; empty if they are few, or large already."""
    if len(window) <= _WINDOW_ENTRIES:
        return []
    chosen: list[bytes] = []
    rows = 0
    for key in sorted(window):
        rows += window[key]
        if rows > _WINDOW_ROWS or len(chosen) >= _WINDOW_ENTRIES:
            if len(chosen) > 1:
                break
            chosen, rows = [], window[key]
        chosen.append(key)
    return chosen if len(chosen) > 1 else []

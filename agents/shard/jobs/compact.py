"""Flush and merge: keep deltas few and segments large."""

import asyncio
from collections.abc import Mapping, Sequence, Set

import polars as pl

from agents.shard.jobs.context import ShardContext
from schemas.segment.index import SegmentIndex
from schemas.tables import repeats
from streams.state import auxiliary_table as auxiliary
from streams.state import compaction_plan
from streams.state.compaction_plan import SegmentLimits
from streams.state.store import Put, Step

__all__ = ["choose", "compact", "merge_bytes", "merge_classes", "mergeable", "window_merge"]

_MERGE_BYTES = 8_000_000
#: So many times more segments may overlap if they are at least half full, of one source each.
_FULL = 3
_WINDOW_ENTRIES = 1_000
#: Hashes of one entry, of 8 bytes each: below a record.
_WINDOW_ROWS = 90_000


def merge_bytes(context: ShardContext) -> int:
    """Bytes that one merge takes, about."""
    return min(_MERGE_BYTES, context.settings.step_bytes)


def mergeable(context: ShardContext, spared: Set[str] = frozenset()) -> list[SegmentIndex]:
    """The segments that a merge may take: archived and damaged ones are excluded, those that may
    hold rows of erased users, which are written anew soon, and those with rows of the sources
    `spared`.
    """
    table = context.store.table
    return [
        index
        for index in table.segments.values()
        if not table.archived(index)
        and index.id not in table.unclean
        and index.id not in context.damaged
        and (not spared or spared.isdisjoint(index.sources))
    ]


def merge_classes(
    segments: Sequence[SegmentIndex], fan_in: int, limits: SegmentLimits
) -> list[tuple[list[SegmentIndex], int]]:
    """What may be merged together, and how many of it may overlap before that.

    Segments of one source that are at least half full overlap more often: a merge of different rows
    costs more than it saves. But the rows may be the same ones again and again, as those of
    profiles are, so there is a bound for them too.
    """
    small = [
        index
        for index in segments
        if len(index.sources) > 1
        or (index.rows * 2 < limits.rows and index.bytes * 2 < limits.bytes)
    ]
    return [(small, fan_in), (list(segments), _FULL * fan_in)]


def choose(context: ShardContext, spared: Set[str] = frozenset()) -> list[SegmentIndex]:
    """The segments to merge next, without rows of the sources `spared`; empty if there are none."""
    segments, settings = mergeable(context, spared), context.settings
    weight, together = merge_bytes(context), context.together
    for some, most in merge_classes(segments, settings.fan_in, context.limits):
        if chosen := compaction_plan.choose_merge(some, most, weight, together):
            return chosen
    return []


async def compact(context: ShardContext, spared: Set[str] = frozenset()) -> bool:
    """Merge one set of overlapping segments, without rows of the sources `spared`, or runs of an
    auxiliary table; False if none is left.
    """
    chosen = choose(context, spared)
    if not chosen:
        return await _compact_auxiliary(context)
    frames = [(index, await context.store.read(index)) for index in chosen]
    puts = await asyncio.to_thread(compaction_plan.merge, frames, context.new_id, context.limits)
    await context.store.commit(Step(puts=puts))
    # only in memory: after a start such a merge is made once more
    compaction_plan.remember(context.together, puts, context.store.table.segments)
    return True


async def _compact_auxiliary(context: ShardContext) -> bool:
    table, settings = context.store.table, context.settings
    for each in auxiliary.TABLES if not table.unclean_runs else ():
        chosen = auxiliary.choose(table.runs[each.run], settings.fan_in, merge_bytes(context))
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

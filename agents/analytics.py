"""What one shard knows of a source's figures: totals from the counts, and unique users.

The counts never expire. Unique users are counted in the hot rows as long as those are all
there; an expiry keeps the numbers first (`n/<source>`), and they stand until every row is
back. So the figures are the same before, during and after. A user belongs to one shard: the
numbers of all shards add up.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.counts import COUNT_KEY, add_up
from schemas.interaction import SCHEMA
from schemas.segment import SegmentIndex
from streams import side
from streams.store import Pinned

__all__ = ["TOTAL_COLUMNS", "UNIQUE_COLUMNS", "Figures", "Rows", "measure", "pack", "unique_users"]

TOTAL_COLUMNS = tuple(name for name in COUNT_KEY if name not in ("source", "user"))
"""What totals are told apart by: day (days since 1970-01-01, UTC), kind, channel, step,
variation and detail (the index of a conversion)."""

UNIQUE_COLUMNS = ("kind", "channel", "step", "variation")
"""What unique users are told apart by."""

_PER_FRAME = 200_000

Rows = list[list[int | str | None]]


@dataclass(frozen=True)
class Figures:
    """One shard's part: `totals` has TOTAL_COLUMNS and a count in each row, `uniques` has
    UNIQUE_COLUMNS and a number of users."""

    totals: Rows
    uniques: Rows


def measure(pinned: Pinned, source: str) -> Figures:
    """The figures of `source` in one pinned shard. Blocks; memory is bounded."""
    counts = [pl.DataFrame(schema=side.COUNTS.schema), *pinned.side.get(side.COUNTS.delta, ())]
    found = [frame.filter(pl.col("source") == source) for frame in counts]
    for key in pinned.runs.get(side.COUNTS.run, ()):
        found.append(side.decode(pinned.snapshot[key]).filter(pl.col("source") == source))
    totals = add_up(pl.concat(found)).select(*TOTAL_COLUMNS, "count")
    kept = pinned.uniques.get(source)
    if kept is not None:
        return Figures(_rows(totals), _unpack(kept))
    deltas = [frame.filter(pl.col("source") == source) for frame in pinned.deltas]
    return Figures(_rows(totals), unique_users(pinned, source, pinned.segments_of(source), deltas))


def unique_users(
    pinned: Pinned, source: str, segments: Sequence[SegmentIndex], deltas: Sequence[pl.DataFrame]
) -> Rows:
    """How many users have an interaction of each sort, in these segments and deltas. Blocks.

    Holds no more than the segments that overlap at one place in the order of users.
    """
    columns = ("user", *UNIQUE_COLUMNS)

    def low(index: SegmentIndex) -> str:
        # in a shared segment the source's own users may begin anywhere
        return index.low[1] if index.low[0] == source else ""

    waiting = sorted(segments, key=low, reverse=True)
    held = pl.concat(
        [
            pl.DataFrame(schema={name: SCHEMA[name] for name in columns}),
            *(frame.select(columns) for frame in deltas),
        ]
    )
    counted: list[pl.DataFrame] = []
    while waiting or held.height:
        parts = [held]
        while waiting and (
            len(parts) == 1 or sum(map(len, parts)) < _PER_FRAME or low(waiting[-1]) == ""
        ):
            parts.append(pinned.segment_rows(waiting.pop(), source, columns))
        rows = pl.concat(parts).unique()
        # users below those of the next segment can come no more
        below = pl.col("user") < low(waiting[-1]) if waiting else pl.lit(True)
        counted.append(rows.filter(below).group_by(UNIQUE_COLUMNS).len("users"))
        held = rows.filter(~below)
    if not counted:
        return []
    found = pl.concat(counted).group_by(UNIQUE_COLUMNS).agg(pl.col("users").sum())
    return _rows(found.select(*UNIQUE_COLUMNS, "users"))


def pack(uniques: Rows) -> bytes:
    """Numbers of unique users as a changelog value."""
    return zlib.compress(json.dumps(uniques, separators=(",", ":")).encode())


def _unpack(value: bytes) -> Rows:
    rows: Rows = json.loads(zlib.decompress(value))
    return rows


def _rows(frame: pl.DataFrame) -> Rows:
    return [list(row) for row in frame.rows()]

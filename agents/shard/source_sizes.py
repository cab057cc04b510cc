"""The sizes of one shard's sources: of some exactly, and of all to put them in an order.

A page asks for the sizes of the sources that it shows. What that costs does not depend on how many
others there are. An order by size needs all sizes. They are worked out from columns, in a thread,
and what does not change is kept: segments and runs never change, they only come and go.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import polars as pl

from agents.resources.threads import execute
from agents.shard.protocol import SourceSize
from schemas.segment.index import SegmentIndex
from schemas.tables.profile import PROFILE
from streams.state import auxiliary_table as auxiliary
from streams.state.store import PinnedShard, Store

__all__ = ["OUTLINE", "SourceSizes", "summed"]

OUTLINE = pl.Schema(
    {
        "source": pl.String,
        "rows": pl.Int64,
        "bytes": pl.Int64,
        "archived_rows": pl.Int64,
        "archived_bytes": pl.Int64,
        "last_day": pl.Int32,
    }
)
"""What an order needs of each source: as in `SourceSize`."""

_LAST = pl.Schema({"source": pl.String, "last_day": pl.Int32})
#: Up to so many rows a loop takes less time than a group-by.
_FEW = 500
_SUMS = ("rows", "bytes", "archived_rows", "archived_bytes")


def summed(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Outlines as one, each source once."""
    whole = pl.concat([pl.DataFrame(schema=OUTLINE), *parts], how="diagonal")
    return whole.group_by("source").agg(pl.col(_SUMS).sum(), pl.col("last_day").max())


class SourceSizes:
    """Belongs to one shard, and to the event loop of its worker."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        #: Rows and bytes by source of each segment, and the last days of each run.
        self._segments: dict[str, pl.DataFrame] = {}
        self._runs: dict[bytes, pl.DataFrame] = {}
        #: The last days by source of each delta of the counts.
        self._deltas: dict[bytes, dict[str, int]] = {}
        #: The last days of all runs together: of which runs, as a frame, and by source.
        self._last_of: tuple[bytes, ...] | None = None
        self._last = pl.DataFrame(schema=_LAST)
        self._last_by_source: dict[str, int] = {}

    async def of(self, sources: Sequence[str]) -> dict[str, SourceSize]:
        """Stored rows and bytes of those of `sources` that have data, hot and archived; bytes of a
        shared segment are divided by rows.
        """
        table = self._store.table
        await self._read_runs()
        recent = self._recent(table.auxiliary.get(auxiliary.COUNTS.delta, {}))
        in_deltas = table.deltas.rows_of(sources)
        found: dict[str, SourceSize] = {}
        for source in sources:
            held = [table.segments[one] for one in table.by_source.get(source, ())]
            archived = table.archived_sizes.get(source, (0, 0, 0))
            last = [days.get(source) for days in (self._last_by_source, *recent)]
            size = SourceSize(
                in_deltas[source] + sum(one.sources[source] for one in held),
                sum(_weight(one, source) for one in held),
                len(held),
                *archived,
                last_day=max((day for day in last if day is not None), default=None),
            )
            if size != SourceSize():
                found[source] = size
        return found

    def _recent(self, counts: Mapping[bytes, pl.DataFrame]) -> list[dict[str, int]]:
        """The last days by source in each of these deltas."""
        known = self._deltas
        self._deltas = {
            key: known[key] if key in known else _last_in(frame) for key, frame in counts.items()
        }
        return [days for days in self._deltas.values() if days]

    async def outline(self) -> pl.DataFrame:
        """All sources of the shard, in the columns of OUTLINE."""
        await self._read_runs()
        async with self._turn:
            pinned, archived = await self._store.pin(), dict(self._store.table.archived_sizes)
            return await execute(partial(self._outlined, pinned, archived))

    def _outlined(
        self, pinned: PinnedShard, archived: dict[str, tuple[int, int, int]]
    ) -> pl.DataFrame:
        self._segments = {
            name: self._segments[name] if name in self._segments else _of_segment(index)
            for name, index in pinned.segments.items()
        }
        parts = [self._last, *self._segments.values()]
        for frame in pinned.deltas:
            parts.append(frame.group_by("source").agg(pl.len().cast(pl.Int64).alias("rows")))
        parts += map(_last_days, pinned.auxiliary.get(auxiliary.COUNTS.delta, ()))
        kept = {
            "source": list(archived),
            "archived_rows": [rows for rows, _, _ in archived.values()],
            "archived_bytes": [weight for _, weight, _ in archived.values()],
        }
        schema = {name: OUTLINE[name] for name in kept}
        parts.append(pl.DataFrame(kept, schema=schema))
        return summed(parts).filter(pl.col("source") != PROFILE)

    async def _read_runs(self) -> None:
        """Bring the last days of the runs up to the present runs."""
        table = self._store.table
        if self._last_of == tuple(sorted(table.runs.get(auxiliary.COUNTS.run, {}))):
            return
        async with self._turn:
            pinned = await self._store.pin()
            await execute(partial(self._decode_runs, pinned))

    def _decode_runs(self, pinned: PinnedShard) -> None:
        wanted = pinned.runs.get(auxiliary.COUNTS.run, ())
        if wanted == self._last_of:
            return
        found: dict[bytes, pl.DataFrame] = {}
        for key in wanted:
            known = self._runs.get(key)
            if known is None:
                known = _last_days(auxiliary.decode(pinned.snapshot[key]))
            found[key] = known
        whole = pl.concat([pl.DataFrame(schema=_LAST), *found.values()])
        last = whole.group_by("source").agg(pl.col("last_day").max())
        self._runs, self._last, self._last_of = found, last, wanted
        self._last_by_source = dict(last.iter_rows())


def _last_days(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.group_by("source").agg(pl.col("day").max().cast(pl.Int32).alias("last_day"))


def _last_in(delta: pl.DataFrame) -> dict[str, int]:
    """The last days by source, of those that have any."""
    if delta.height > _FEW:
        return dict(_last_days(delta.filter(pl.col("day").is_not_null())).iter_rows())
    last: dict[str, int] = {}
    for source, day in zip(delta["source"].to_list(), delta["day"].to_list(), strict=True):
        if day is not None:
            last[source] = max(day, last.get(source, day))
    return last


def _weight(index: SegmentIndex, source: str) -> int:
    return index.bytes * index.sources[source] // index.rows


def _of_segment(index: SegmentIndex) -> pl.DataFrame:
    rows = pl.Series("rows", list(index.sources.values()), pl.Int64)
    weights = (rows * index.bytes // index.rows).alias("bytes")
    return pl.DataFrame([pl.Series("source", list(index.sources), pl.String), rows, weights])

"""Reads all rows of one source, folded, without holding all of them in memory.

Every flush makes segments that cover all of a source's users, so every segment is needed until the
end. The scan takes ranges of users with about equal numbers of rows, and decodes each segment once
for every range. This costs less than holding all rows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import polars as pl

from schemas.segment.codec import decode
from schemas.segment.index import SegmentIndex
from schemas.tables.fold import fold
from schemas.tables.interaction import COLUMNS, empty

__all__ = ["range_scan"]

#: Few, however many shards are read at once: each takes some 70 MB for a range.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="range-scan")
#: Rows of a range, not folded.
_PER_RANGE = 150_000
#: Every so many rows a user is looked at to find where ranges of about one size begin.
_SAMPLE = 250


async def range_scan(
    source: str,
    segments: Sequence[SegmentIndex],
    deltas: Sequence[pl.DataFrame],
    load: Callable[[SegmentIndex], bytes],
    masked: Callable[[SegmentIndex, pl.DataFrame], pl.DataFrame] = lambda index, rows: rows,
) -> AsyncIterator[pl.DataFrame]:
    """Folded frames in `interaction.SCHEMA`, in ascending ranges of users; none is empty.

    `deltas` have rows of the source only. `load` returns a segment's bytes, and `masked` leaves out
    rows of a segment that are not to be read; both are called in threads. No key is in two frames.
    """
    rows = _Rows(source, segments, deltas, load, masked)
    loop = asyncio.get_running_loop()
    low: str | None = None
    for high in [*await loop.run_in_executor(_THREADS, rows.bounds), None]:
        frame = await loop.run_in_executor(_THREADS, rows.between, low, high)
        if frame.height:
            yield frame
        low = high


@dataclass(frozen=True)
class _Rows:
    """One source's rows, wherever they are. Blocks."""

    source: str
    segments: Sequence[SegmentIndex]
    deltas: Sequence[pl.DataFrame]
    load: Callable[[SegmentIndex], bytes]
    masked: Callable[[SegmentIndex, pl.DataFrame], pl.DataFrame]

    def bounds(self) -> list[str]:
        """The first users of all ranges but the first, in order."""
        rows = sum(index.sources[self.source] for index in self.segments)
        rows += sum(frame.height for frame in self.deltas)
        count = -(-rows // _PER_RANGE)
        if count <= 1:
            return []
        segments = (self._segment(index, ("user",)) for index in self.segments)
        # As a list: what is gathered shares, and so keeps, the text of all it was taken from.
        seen = (r["user"].gather_every(_SAMPLE).to_list() for r in chain(self.deltas, segments))
        users = sorted(chain.from_iterable(seen))
        cuts = (users[len(users) * number // count] for number in range(1, count))
        return list(dict.fromkeys(cuts))

    def between(self, low: str | None, high: str | None) -> pl.DataFrame:
        """The folded rows of users in [low, high); None leaves that end open."""
        return fold(pl.concat([empty(), *self._parts(low, high)]))

    def _parts(self, low: str | None, high: str | None) -> Iterator[pl.DataFrame]:
        for frame in self.deltas:
            above = pl.lit(True) if low is None else pl.col("user") >= low
            below = pl.lit(True) if high is None else pl.col("user") < high
            yield frame.filter(above & below)
        for index in self.segments:
            if self._meets(index, low, high):
                yield self.masked(index, self._segment(index, COLUMNS, (low, high)))

    def _meets(self, index: SegmentIndex, low: str | None, high: str | None) -> bool:
        # in a shared segment the source's own users may begin and end anywhere
        above = high is not None and index.low[0] == self.source and index.low[1] >= high
        below = low is not None and index.high[0] == self.source and index.high[1] < low
        return not above and not below

    def _segment(
        self,
        index: SegmentIndex,
        columns: Sequence[str],
        users: tuple[str | None, str | None] | None = None,
    ) -> pl.DataFrame:
        shared = [self.source] if len(index.sources) > 1 else None
        return decode(self.load(index), shared, columns, users=users)

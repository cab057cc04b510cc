"""A pinned shard in slices of its users, each of which is evaluated separately.

Every leaf is about one user, so a filter gives the same result for a user in any slice. The first
slices are small: so the first users are known soon. The memory needed is that of one slice.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock

import polars as pl

from agents.filters.roster import Roster
from agents.shard.user_list import Everybody
from schemas.segment.index import SegmentIndex
from schemas.tables.counts import feed_views_of
from schemas.tables.interaction import COLUMNS
from schemas.tables.profile import PROFILE, unpack, wide
from streams.state.auxiliary_table import COUNTS
from streams.state.store import PinnedShard

__all__ = ["Fresh", "Slice", "slices"]

FIRST = 10000
MOST = 400_000
GROWTH = 4


@dataclass
class Fresh:
    """The data of deltas and counts that a query needs, prepared once for all its slices, by user;
    and rows of decoded segments that lie beyond the current slice.

    `user` has the same form as in `everybody`.
    """

    pinned: PinnedShard
    everybody: Everybody
    _behind: dict[object, pl.DataFrame] = field(default_factory=dict)
    _made: dict[object, list[pl.DataFrame]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def rows(self, source: str, columns: Sequence[str], where: pl.Expr) -> list[pl.DataFrame]:
        """The deltas' rows of a source, sorted by user, not folded."""

        def make() -> Iterator[pl.DataFrame]:
            yield self._sorted(self.pinned.delta_rows(source, columns, where))

        return self._once((source, *columns, str(where)), make)

    def segment(
        self,
        index: SegmentIndex,
        source: str,
        columns: Sequence[str],
        where: pl.Expr,
        high: str | None,
    ) -> pl.DataFrame:
        """A segment's rows of a source below `high` that were in no earlier slice."""
        name = (index.id, source, *columns, str(where))
        frame = self._behind.pop(name, None)
        if frame is None:
            rows = self.pinned.segment_rows(index, source, columns, where, packed=True)
            frame = self.everybody.formed(rows)
        last = index.high[1] if index.high[0] == source else None
        if high is None or (last is not None and last < high):
            return frame
        # The next slice needs the rest: decoding it again would cost more than it weighs.
        self._behind[name] = self.everybody.cut(frame, high, None)
        return self.everybody.cut(frame, None, high)

    def profile(self, kinds: Collection[str]) -> list[pl.DataFrame]:
        """The deltas' profile-wide rows of these kinds, unpacked, each frame sorted by user."""

        def make() -> Iterator[pl.DataFrame]:
            wanted = pl.col("kind").is_in(list(kinds))
            if self.pinned.deltas:
                rows = pl.concat(self.pinned.deltas).filter(wanted)
                yield self._sorted(unpack(wide(rows)))

        return self._once(frozenset(kinds), make)

    def feed_views(self) -> list[pl.DataFrame]:
        """`user` and `count`, in one frame."""

        def make() -> Iterator[pl.DataFrame]:
            yield self._sorted(feed_views_of(self.pinned.auxiliary_rows(COUNTS)))

        return self._once(None, make)

    def _sorted(self, rows: pl.DataFrame) -> pl.DataFrame:
        return self.everybody.formed(rows).sort("user")

    def _once(self, name: object, make: Callable[[], Iterator[pl.DataFrame]]) -> list[pl.DataFrame]:
        with self._lock:
            if name not in self._made:
                self._made[name] = list(make())
            return self._made[name]


@dataclass(frozen=True)
class Slice:
    """Implements `agents.filters.Data` for the users in [low, high) of a pinned shard.

    Blocking. A bound of None is open.
    """

    pinned: PinnedShard
    fresh: Fresh
    everybody: Everybody
    low: str | None = None
    high: str | None = None

    def roster(self) -> Roster:
        """The live users of the slice, merged ones among them."""
        return self.everybody.between(self.low, self.high)

    def among(self, members: pl.DataFrame) -> pl.DataFrame:
        """The members in [low, high); `members` is sorted."""
        return self.everybody.cut(members, self.low, self.high)

    def rows(self, source: str, columns: Sequence[str], where: pl.Expr) -> Iterator[pl.DataFrame]:
        """The rows of a source for which `where` is true, not folded."""
        for index in self._segments(source):
            yield self.fresh.segment(index, source, columns, where, self.high)
        yield from self._cut(self.fresh.rows(source, columns, where), columns)

    def profile(self, columns: Sequence[str], kinds: Collection[str]) -> Iterator[pl.DataFrame]:
        """Profile-wide rows of these kinds, not folded."""
        wanted = pl.col("kind").is_in(sorted(kinds))
        for index in self._segments(PROFILE):
            frame = self.fresh.segment(index, PROFILE, COLUMNS, wanted, self.high)
            yield unpack(frame).select(columns)
        yield from self._cut(self.fresh.profile(kinds), columns)

    def feed_views(self) -> pl.DataFrame:
        """The number of feed views of each user."""
        (counts,) = self.fresh.feed_views()
        return next(self._cut([counts], counts.columns), counts.clear())

    def _segments(self, source: str) -> Iterator[SegmentIndex]:
        for index in self.pinned.segments_of(source):
            first = index.low[1] if index.low[0] == source else None
            last = index.high[1] if index.high[0] == source else None
            below = last is not None and self.low is not None and last < self.low
            above = first is not None and self.high is not None and first >= self.high
            if not below and not above:
                yield index

    def _cut(self, frames: list[pl.DataFrame], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        for frame in frames:
            if len(part := self.everybody.cut(frame, self.low, self.high)):
                yield part.select(columns)


def slices(pinned: PinnedShard, everybody: Everybody) -> Iterator[Slice]:
    """All users, in order, each in exactly one slice; at least one slice."""
    fresh = Fresh(pinned, everybody)
    low: str | None = None
    for high in _bounds(everybody):
        yield Slice(pinned, fresh, everybody, low, high)
        low = high
    yield Slice(pinned, fresh, everybody, low, None)


def _bounds(everybody: Everybody) -> Iterator[str]:
    """The bounds of the slices, from the longest run: the others are much shorter, or similar."""
    if not everybody.runs:
        return
    longest = max(everybody.runs, key=len)
    # users of all runs for one of the longest
    share = len(everybody) / len(longest)
    at, width = 0, FIRST
    while (at := at + max(1, int(width / share))) < len(longest) - FIRST // 2:
        yield Roster(longest[at : at + 1]).texts().item()
        width = min(MOST, width * GROWTH)

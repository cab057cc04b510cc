"""A hot table and its segments' bytes, without broker or disk."""

import itertools
from collections.abc import Callable

import polars as pl

from schemas.segment.codec import decode
from schemas.segment.index import SegmentIndex
from schemas.tables.profile import PROFILE, wide
from streams.state import compaction_plan, keys
from streams.state.hot_table import HotTable, Put
from tests.rigs.rows import as_dict

LIMITS = compaction_plan.SegmentLimits(rows=40, bytes=900_000, own_rows=25)


class Shelf:
    """What is added is flushed and merged by the plans of a shard."""

    def __init__(self) -> None:
        self.table = HotTable()
        self.data: dict[bytes, bytes] = {}
        self.together: dict[str, str] = {}
        numbers = itertools.count()
        self.new_id: Callable[[], str] = lambda: f"{next(numbers):024x}"

    def apply(self, puts: list[Put], frames: dict[bytes, pl.DataFrame] | None = None) -> None:
        self.table.apply(puts, frames)
        for key, value in puts:
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value

    def add(self, frame: pl.DataFrame) -> None:
        key = keys.delta(self.table.next_sequence, 0)
        self.apply([(key, b"")], {key: frame})

    def flush(self) -> None:
        self.apply(compaction_plan.flush(self.table.deltas, self.new_id, LIMITS))

    def read(self, index: SegmentIndex) -> pl.DataFrame:
        return decode(self.data[keys.segment(index.id)])

    def merge(self, chosen: list[SegmentIndex]) -> None:
        read = [(index, self.read(index)) for index in chosen]
        puts = compaction_plan.merge(read, self.new_id, LIMITS)
        self.apply(puts)
        compaction_plan.remember(self.together, puts, self.table.segments)

    def rows(self) -> dict[tuple[object, ...], tuple[int, int]]:
        """The rows of sources in the table."""
        return as_dict(frame.filter(pl.col("source") != PROFILE) for frame in self._frames())

    def profile(self) -> dict[tuple[object, ...], tuple[int, int]]:
        """The profile-wide rows in the table, deltas included."""
        return as_dict([wide(frame) for frame in self.table.deltas.values()]) | as_dict(
            frame.filter(pl.col("source") == PROFILE) for frame in self._frames()
        )

    def _frames(self) -> list[pl.DataFrame]:
        frames = [self.read(index) for index in self.table.segments.values()]
        return [*self.table.deltas.values(), *frames]

"""Reads the rows of some users from a consistent view."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
from rocksdict import Snapshot

from schemas.segment.index import SegmentIndex
from schemas.tables.erased import NO_MASK, Mask
from streams.state.rocks import StoreSnapshot
from streams.user_index import block as block
from streams.user_index.merge import load_block
from streams.user_index.rows import Row, folded, frame_of, widened
from streams.user_index.runs import Run
from streams.user_index.segment_filter import SegmentFilter, SegmentGone, rows_among, stored_segment

__all__ = ["PinnedIndex", "SegmentGone", "stored_segment"]


@dataclass(slots=True)
class PinnedIndex:
    """A shard's rows as of one moment. It holds snapshots: release it soon.

    `segments` are the segments that the runs do not cover; the state store is None if there are
    none.
    """

    deltas: Sequence[pl.DataFrame]
    segments: Sequence[SegmentIndex]
    segment_filter: SegmentFilter
    state_store: StoreSnapshot | None
    runs: Sequence[Run]
    blocks: Snapshot
    mask: Mask = NO_MASK

    def find(self, users: Sequence[str]) -> list[Row]:
        """All rows of `users`, folded, sorted by user and source. Blocking.

        The result includes the profile-wide rows that a flush would derive from the deltas, and
        rows of hidden sources, but nothing that the mask hides. Raises `SegmentGone`,
        `CorruptBlock`, `CorruptSegment`.
        """
        if not users:
            return []
        recent = rows_among(self.deltas, users)
        found = recent + widened(recent)
        if self.state_store is not None:
            found.extend(self.segment_filter.rows(self.segments, users, self.state_store))
        found.extend(self._indexed(users))
        return folded(self._masked(found, users))

    def _masked(self, rows: list[Row], users: Sequence[str]) -> list[Row]:
        begins = {
            user: entry.returned_at for user in users if (entry := self.mask.find(user)) is not None
        }
        if not begins:
            return rows
        return [row for row in rows if row[7] >= begins.get(row[1], row[7])]

    def rows(self, users: Sequence[str]) -> pl.DataFrame:
        """The result of `find` as a frame in `interaction.SCHEMA`."""
        return frame_of(self.find(users))

    def _indexed(self, users: Sequence[str]) -> Iterator[Row]:
        names = [(block.pack_user(user), user) for user in users]
        for run in self.runs:
            wanted: dict[int, list[tuple[bytes, str]]] = {}
            for name in names:
                for number in run.blocks(name[0], name[0] + b"\0"):
                    wanted.setdefault(number, []).append(name)
            for number, those in wanted.items():
                yield from block.rows_of(load_block(self.blocks, run, number), those)

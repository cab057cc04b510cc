"""One shard's data as the filters read it: pinned, not folded, blocking.

Users that were merged into others and deleted ones are left out of the roster; rows of theirs
are not attributed to anybody.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from schemas.counts import FEED_VIEWS
from schemas.interaction import COLUMNS
from schemas.profile import PROFILE, unpack, wide
from streams.side import COUNTS, ROSTER
from streams.store import Pinned

__all__ = ["KnownUsers", "ShardData"]


@dataclass
class KnownUsers:
    """The users seen in a shard's profile-wide segments, remembered between questions.

    A merged segment has the users of those it replaces, and nothing makes a user unseen: so
    each segment is read once.
    """

    users: pl.Series = field(default_factory=lambda: pl.Series("user", [], dtype=pl.String))
    _read: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, pinned: Pinned) -> pl.Series:
        """Every user seen in the pinned segments, and some seen since."""
        with self._lock:
            there = pinned.by_source.get(PROFILE, frozenset())
            fresh = [index for index in pinned.segments_of(PROFILE) if index.id not in self._read]
            if fresh:
                parts = [self.users.to_frame()]
                parts += [
                    pinned.segment_rows(index, PROFILE, ("user",)).unique() for index in fresh
                ]
                self.users = pl.concat(parts).unique()["user"]
            self._read = set(there)
            return self.users


@dataclass(frozen=True)
class ShardData:
    """Implements `agents.filters.data.Data` for one pinned shard. Its methods block."""

    pinned: Pinned
    known: KnownUsers

    def roster(self) -> pl.Series:
        """Every live user of this shard, once: those of the `users` topic and those seen in
        events, less deleted and merged ones.
        """
        said = self.pinned.side_rows(ROSTER)
        gone = pl.col("deleted") | pl.col("merged_into").is_not_null()
        parts = [
            self.known.of(self.pinned).to_frame(),
            *(delta.select("user") for delta in self.pinned.deltas),
            said.filter(~gone).select("user"),
        ]
        everybody = pl.concat(parts).unique()
        return everybody.join(said.filter(gone), on="user", how="anti")["user"]

    def rows(self, source: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows of a source with these columns of `interaction.SCHEMA`, not folded."""
        return self.pinned.rows(source, columns)

    def profile(self, columns: Sequence[str], kinds: Collection[str]) -> Iterator[pl.DataFrame]:
        """Rows of the profile-wide table with these columns of `PROFILE_SCHEMA`, not folded."""
        wanted = pl.col("kind").is_in(list(kinds))
        for index in self.pinned.segments_of(PROFILE):
            frame = self.pinned.segment_rows(index, PROFILE, COLUMNS)
            yield unpack(frame.filter(wanted)).select(columns)
        for delta in self.pinned.deltas:
            yield unpack(wide(delta.filter(wanted))).select(columns)

    def feed_views(self) -> pl.DataFrame:
        """`user` and `count`: how often each viewed the feed."""
        return (
            self.pinned.side_rows(COUNTS)
            .filter(pl.col("source") == FEED_VIEWS)
            .select("user", "count")
        )

"""Reading the rows of some users, whatever changes meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from rocksdict import Snapshot

from schemas.errors import Recoverable
from schemas.fold import fold
from schemas.interaction import empty
from schemas.profile import wide
from schemas.segment import SegmentIndex, decode
from streams import by_user_block as block
from streams import keys
from streams.by_user_deltas import Gathered, gather
from streams.by_user_merge import load_block
from streams.by_user_runs import Run
from streams.mirror import Mirror

__all__ = ["Pinned", "SegmentGone", "mirror_segment"]


class SegmentGone(Recoverable):
    """Table and mirror were pinned in the middle of a step: pin again."""


@dataclass(slots=True)
class Pinned:
    """A shard's rows as they stood at one moment. Holds snapshots: let go of it soon.

    `segments` are those that the runs do not cover.
    """

    deltas: Mapping[bytes, pl.DataFrame]
    gathered: Gathered
    segments: Sequence[SegmentIndex]
    mirror: Snapshot
    runs: Sequence[Run]
    blocks: Snapshot

    def rows(self, users: Sequence[str]) -> pl.DataFrame:
        """All rows of `users`, folded, in `interaction.SCHEMA` and no order. Blocking.

        The profile-wide rows that a flush would make of the deltas are among them.
        Rows of sources that should be hidden are among them. Afterwards `gathered` has what
        the next read may use. Raises `SegmentGone`, `CorruptBlock`, `CorruptSegment`.
        """
        if not users:
            return empty()
        among = _among(pl.Series(users, dtype=pl.String))
        frames, self.gathered = gather(self.deltas, self.gathered)
        recent = pl.concat([empty(), *(frame.filter(among) for frame in frames)])
        found = [recent, wide(recent)] if recent.height else []
        for index in self.segments:
            if any(_may_hold(index, user) for user in users):
                found.append(decode(_pinned_segment(self.mirror, index)).filter(among))
        found.append(self._indexed(users))
        return fold(pl.concat(found))

    def _indexed(self, users: Sequence[str]) -> pl.DataFrame:
        names = {block.pack_user(user): user for user in users}
        among = _among(pl.Series(list(names), dtype=pl.Binary))
        wanted = {
            (run.number, number): run
            for run in self.runs
            for user in names
            for number in run.blocks(user, user + b"\0")
        }
        found = [load_block(self.blocks, run, number, among) for (_, number), run in wanted.items()]
        return block.unpack(pl.concat(found), names) if found else empty()


def _pinned_segment(mirror: Snapshot, index: SegmentIndex) -> bytes:
    """A segment's bytes as they were pinned. Raises `SegmentGone`."""
    try:
        data: bytes = mirror[keys.segment(index.id)]
    except Exception as error:
        if "not found" not in str(error):
            raise
        raise _gone(index) from error
    return data


def mirror_segment(mirror: Mirror, index: SegmentIndex) -> bytes:
    """A segment's bytes as they are now. Raises `SegmentGone`."""
    data = mirror.get(keys.segment(index.id))
    if data is None:
        raise _gone(index)
    return data


def _gone(index: SegmentIndex) -> SegmentGone:
    return SegmentGone(f"segment {index.id} has just been replaced")


def _among(users: pl.Series) -> pl.Expr:
    user = pl.col("user")
    return user == users[0] if len(users) == 1 else user.is_in(users.implode())


def _may_hold(index: SegmentIndex, user: str) -> bool:
    """In a segment of several sources a user may stand anywhere."""
    return len(index.sources) > 1 or index.low[1] <= user <= index.high[1]

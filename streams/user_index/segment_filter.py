"""Says which segments hold rows of a user, without decoding the segments for every request.

Until the index covers a segment, every request for a user has to look into it. The first request
decodes the segment's users; from then on their hashes show in microseconds that a user is not in
the segment. Hashes only exclude segments: the final comparison uses the names.
"""

import io
import re
from collections.abc import Collection, Iterator, Sequence

import polars as pl

from schemas.errors import Recoverable
from schemas.segment.codec import decode
from schemas.segment.index import SegmentIndex, verified
from schemas.segment.order import PACKED
from streams.state import keys
from streams.state.rocks import StoreSnapshot
from streams.state.state_store import StateStore
from streams.user_index.rows import Row

__all__ = ["SegmentFilter", "SegmentGone", "rows_among", "stored_segment"]

#: Hashes of so many rows are kept, of 4 bytes each.
_MOST_ROWS = 4_000_000
#: To compare a column with so many users costs less than to look each row up among them.
_SINGLY = 6
_HEX = re.compile("[0-9a-f]{24}")


class SegmentGone(Recoverable):
    """Table and state store were pinned in the middle of a step: pin again."""


class SegmentFilter:
    """Hashes of the users of segments, row by row. Read from any thread, changed in one."""

    def __init__(self) -> None:
        self._hashes: dict[str, pl.Series] = {}

    def keep(self, ids: Collection[str]) -> None:
        """Forgets all segments but these."""
        if len(self._hashes) > len(ids):
            self._hashes = {name: held for name, held in self._hashes.items() if name in ids}

    def rows(
        self, segments: Sequence[SegmentIndex], users: Sequence[str], state_store: StoreSnapshot
    ) -> Iterator[Row]:
        """The rows of `users` in `segments`, not folded. Raises `SegmentGone`, `CorruptSegment`."""
        wanted, names = _hashed(users), frozenset(users)
        for index in segments:
            if not any(_may_hold(index, user) for user in users):
                continue
            hashes = self._hashes.get(index.id)
            if hashes is None:
                hashes = self._add(index, _hashes(_pinned_segment(state_store, index)))
            among = _among(hashes, wanted)
            if among.any():
                # As an expression it is there before what is left is decoded.
                held = decode(_pinned_segment(state_store, index), where=pl.lit(among))
                yield from (row for row in held.rows() if row[1] in names)

    def _add(self, index: SegmentIndex, hashes: pl.Series) -> pl.Series:
        if sum(map(len, self._hashes.copy().values())) + len(hashes) <= _MOST_ROWS:
            self._hashes[index.id] = hashes
        return hashes


def rows_among(frames: Sequence[pl.DataFrame], users: Sequence[str]) -> list[Row]:
    """The rows of some users in frames in `interaction.SCHEMA`, not folded."""
    if not frames:
        return []
    # One query for all frames: what it costs by itself is more than what their rows cost.
    held = pl.concat([frame["user"] for frame in frames])
    among = _among(held, pl.Series(users, dtype=pl.String))
    return pl.concat(frames).filter(among).rows() if among.any() else []


def _hashed(users: Sequence[str]) -> pl.Series:
    """The hashes of these users, in both forms that segments use: of the name, and of the packed
    bytes.
    """
    hexed = [bytes.fromhex(user) for user in users if _HEX.fullmatch(user)]
    named = _short(pl.Series(users, dtype=pl.String))
    return named.append(_short(pl.Series(hexed, dtype=pl.Binary))) if hexed else named


def _hashes(data: bytes) -> pl.Series:
    """The hashes of a segment's users, row by row. Raises `CorruptSegment`."""
    try:
        # The column as it is stored: to spell all users out takes thrice as long.
        stored = pl.read_parquet(io.BytesIO(data), columns=[PACKED], use_statistics=False)
        return _short(stored[PACKED])
    # Not stored so, or damaged: `decode` knows. A panic of Polars derives from BaseException.
    except (Exception, pl.exceptions.PanicException):
        return _short(decode(data, columns=["user"])["user"])


def _short(users: pl.Series) -> pl.Series:
    return (users.hash() & 0xFFFF_FFFF).cast(pl.UInt32)


def _among(held: pl.Series, wanted: pl.Series) -> pl.Series:
    """Where `held` is one of the wanted values."""
    if len(wanted) > _SINGLY:
        return held.is_in(wanted.implode())
    found: pl.Series = held == wanted[0]
    for value in wanted[1:]:
        found |= held == value
    return found


def _may_hold(index: SegmentIndex, user: str) -> bool:
    """In a segment of several sources a user may stand anywhere."""
    return len(index.sources) > 1 or index.low[1] <= user <= index.high[1]


def _pinned_segment(state_store: StoreSnapshot, index: SegmentIndex) -> bytes:
    """A segment's bytes as they were pinned. Raises `SegmentGone`."""
    try:
        data = state_store[keys.segment(index.id)]
    except Exception as error:
        if "not found" not in str(error):
            raise
        raise _gone(index) from error
    return verified(index, data)


def stored_segment(state_store: StateStore, index: SegmentIndex) -> bytes:
    """A segment's bytes as they are now. Raises `SegmentGone`."""
    data = state_store.get(keys.segment(index.id))
    if data is None:
        raise _gone(index)
    return verified(index, data)


def _gone(index: SegmentIndex) -> SegmentGone:
    return SegmentGone(f"segment {index.id} has just been replaced")

"""One shard's figures of a source: totals from the counts, and numbers of unique users.

The counts never expire. Unique users are counted in the hot rows while all rows are there. An
expiry first stores the numbers (`n/<source>`), and these count until every row is back. So the
figures are the same before, during and after an expiry. A user belongs to one shard, so the numbers
of all shards add up.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.errors import CorruptSegment
from schemas.tables.counts import COUNT_KEY, add_up
from streams.state import auxiliary_table as auxiliary
from streams.state import keys, pieces
from streams.state.store import PinnedShard, bounded

__all__ = [
    "TOTAL_COLUMNS",
    "UNIQUE_COLUMNS",
    "Figures",
    "Rows",
    "measure",
    "pack",
    "unique_users",
    "unpack",
]

TOTAL_COLUMNS = tuple(name for name in COUNT_KEY if name not in ("source", "user"))
"""What totals are told apart by: day (days since 1970-01-01, UTC), kind, channel, step,
variation and detail (the index of a conversion)."""

UNIQUE_COLUMNS = ("kind", "channel", "step", "variation")
"""What unique users are told apart by."""

_PIECE_BYTES = 800_000
#: Of encoded segments that are read together.
_CHUNK_BYTES = 8_000_000
_UNPACKED_BYTES = 200_000_000
"""What a piece can become is bounded: few rows of long names shrink a hundredfold."""

Rows = list[list[int | str | None]]


@dataclass(frozen=True)
class Figures:
    """One shard's part: `totals` has TOTAL_COLUMNS and a count in each row; `uniques` has
    UNIQUE_COLUMNS and a number of users.
    """

    totals: Rows
    uniques: Rows


def measure(pinned: PinnedShard, source: str) -> Figures:
    """The figures of `source` in one pinned shard. Blocks; memory is bounded."""
    counts = auxiliary.COUNTS
    deltas = [pl.DataFrame(schema=counts.schema), *pinned.auxiliary.get(counts.delta, ())]
    found = [_only(source, pl.concat(deltas))]
    for key in pinned.runs.get(counts.run, ()):
        found.append(_only(source, auxiliary.decode(pinned.snapshot[key])))
    totals = add_up(pl.concat(found)).select(*TOTAL_COLUMNS, "count")
    kept = pinned.uniques.get(source)
    if kept is not None:
        stored = [pinned.snapshot[keys.uniques_piece(source, piece)] for piece in range(kept)]
        return Figures(_rows(totals), unpack(stored))
    return Figures(_rows(totals), unique_users(pinned, source))


def unique_users(pinned: PinnedShard, source: str) -> Rows:
    """The number of unique users for each combination of UNIQUE_COLUMNS, in all hot rows of
    `source`. Blocks; memory is bounded.

    Users are distinguished by 64-bit hashes: 8 bytes of memory for each row, and with ten million
    users the probability that the number is off by one is one in 370,000.
    """
    columns = ("user", *UNIQUE_COLUMNS)
    users = pl.col("user").hash()
    segments = pinned.segments_of(source)
    chunks = [list(chunk) for chunk in bounded(segments, lambda index: index.bytes, _CHUNK_BYTES)]
    parts: list[pl.DataFrame] = []
    for number, chunk in enumerate(chunks or [[]]):
        frames = [pinned.rows_together(chunk, source, columns)]
        if number == 0:
            frames.append(pinned.delta_rows(source, columns))
        rows = pl.concat(frames).select(*UNIQUE_COLUMNS, users)
        if len(chunks) > 1:
            rows = rows.group_by(UNIQUE_COLUMNS).agg(pl.col("user").unique())
        parts.append(rows)
    met = pl.col("user").explode() if len(parts) > 1 else pl.col("user")
    found = pl.concat(parts).group_by(UNIQUE_COLUMNS).agg(met.n_unique())
    return _rows(found.sort(UNIQUE_COLUMNS, nulls_last=True))


def pack(uniques: Rows, limit: int = _PIECE_BYTES) -> list[bytes]:
    """Numbers of unique users as changelog values of at most about `limit` bytes each."""
    found: list[bytes] = []
    waiting = [uniques]
    while waiting:
        piece = waiting.pop()
        data = zlib.compress(json.dumps(piece, separators=(",", ":")).encode())
        if len(data) > limit and len(piece) > 1:
            middle = len(piece) // 2
            waiting += [piece[middle:], piece[:middle]]
        else:
            found.append(data)
    return [pieces.headed(found[0], len(found)), *found[1:]]


def unpack(stored: Sequence[bytes]) -> Rows:
    """The numbers in values that `pack` made. Raises `CorruptSegment` for other values."""
    rows: Rows = []
    for data in (pieces.body(stored[0]), *stored[1:]):
        try:
            unpacking = zlib.decompressobj()
            text = unpacking.decompress(data, _UNPACKED_BYTES)
            if not unpacking.eof:
                raise ValueError(f"it has no end within {_UNPACKED_BYTES} bytes")
            found = json.loads(text)
            if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
                raise ValueError("it is no list of rows")
        except (zlib.error, ValueError, RecursionError) as error:
            raise CorruptSegment(
                f"numbers of unique users in {len(data)} bytes cannot be read: {error}",
                remedy="restore the record from a replica or a backup of its topic",
            ) from error
        rows += found
    return rows


def _only(source: str, counts: pl.DataFrame) -> pl.DataFrame:
    return counts.filter(pl.col("source") == source)


def _rows(frame: pl.DataFrame) -> Rows:
    return [list(row) for row in frame.rows()]

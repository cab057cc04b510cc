"""The entries of a step's delta: rows, counts, users and hashes, each split so that it fits into a
record.

An entry that is too large for a record could never be committed: its step would be repeated for
ever.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from schemas.decode.ingest import Ingested
from schemas.decode.users import TakenUsers
from schemas.tables.delta import encode
from schemas.tables.repeats import pack
from streams.state import auxiliary_table as auxiliary

__all__ = ["HASHES", "ROWS", "DeltaEntry", "parts"]

ROWS = b"d"
HASHES = b"h"
_ROWS_PER_PART = 10_000
#: Of counts, users and hashes; a record holds little more.
_AUXILIARY_BYTES = 900_000

T = TypeVar("T", pl.DataFrame, pl.Series)


@dataclass(frozen=True, slots=True)
class DeltaEntry:
    """One entry: the letter of its key, its value, and its frame, if the hot table keeps one."""

    letter: bytes
    data: bytes
    frame: pl.DataFrame | None


def parts(
    taken: Ingested, rows: pl.DataFrame, users: TakenUsers, row_bytes: int
) -> list[DeltaEntry]:
    """The entries for decoded events; entries of `rows`, the interactions, have at most `row_bytes`
    bytes.

    A single row may have any size.
    """
    found = [
        DeltaEntry(ROWS, data, frame)
        for start in range(0, rows.height, _ROWS_PER_PART)
        for frame, data in _cut(rows[start : start + _ROWS_PER_PART], encode, row_bytes)
    ]
    if taken.events:
        counts = _cut(taken.counts, encode, _AUXILIARY_BYTES)
        found += [DeltaEntry(auxiliary.COUNTS.delta, data, frame) for frame, data in counts]
        found += [
            DeltaEntry(HASHES, data, None) for _, data in _cut(taken.hashes, pack, _AUXILIARY_BYTES)
        ]
    if taken.externals.height:
        named = _cut(taken.externals, encode, _AUXILIARY_BYTES)
        found += [DeltaEntry(auxiliary.EXTERNALS.delta, data, frame) for frame, data in named]
    if users.rows.height:
        roster = _cut(users.rows, encode, _AUXILIARY_BYTES)
        found += [DeltaEntry(auxiliary.ROSTER.delta, data, frame) for frame, data in roster]
    return found


def _cut(whole: T, write: Callable[[T], bytes], limit: int) -> Iterator[tuple[T, bytes]]:
    waiting = [whole]
    while waiting:
        piece = waiting.pop()
        data = write(piece)
        if len(data) > limit and len(piece) > 1:
            middle = len(piece) // 2
            waiting += [piece[middle:], piece[:middle]]
        else:
            yield piece, data

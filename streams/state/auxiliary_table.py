"""Auxiliary tables: counts, roster and external ids of events. They are stored like the hot table,
but each has its own fold.

A step writes deltas (`e`, `q`, `x`); a flush folds them into a run (`a`, `r`, `y`); when one level
has too many runs, they are folded into one run of the next level. A step replaces parts by their
fold as a whole or not at all, so no count is added twice.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from schemas.errors import CorruptSegment
from schemas.tables.counts import COUNT_SCHEMA, add_up
from schemas.tables.erased import Mask
from schemas.tables.external import EXTERNAL_SCHEMA, last_said
from schemas.tables.roster import ROSTER_SCHEMA, latest
from schemas.tables.sealed import is_sealed, sealed, unsealed
from streams.state import keys

__all__ = [
    "BY_DELTA",
    "COUNTS",
    "EXTERNALS",
    "ROSTER",
    "TABLES",
    "AuxiliaryTable",
    "choose",
    "crowded",
    "decode",
    "encode",
    "flush",
    "merge",
    "weight",
]

Put = tuple[bytes, bytes | None]
_PIECE_ROWS = 20_000
_PARQUET = b"PAR1"
_FRAME_BYTES = 2_000


@dataclass(frozen=True)
class AuxiliaryTable:
    """One auxiliary table: the letters of its deltas and runs, its schema, its fold, and what a
    mask leaves of its rows.
    """

    delta: bytes
    run: bytes
    schema: pl.Schema
    fold: Callable[[pl.DataFrame], pl.DataFrame]
    masked: Callable[[Mask, pl.DataFrame], pl.DataFrame]


COUNTS = AuxiliaryTable(b"e", b"a", COUNT_SCHEMA, add_up, Mask.counts)
ROSTER = AuxiliaryTable(b"q", b"r", ROSTER_SCHEMA, latest, Mask.roster)
EXTERNALS = AuxiliaryTable(b"x", b"y", EXTERNAL_SCHEMA, last_said, Mask.externals)
TABLES = (COUNTS, ROSTER, EXTERNALS)
BY_DELTA = {table.delta: table for table in TABLES}


def weight(frame: pl.DataFrame) -> int:
    """About how many bytes a delta takes in memory; the overhead of a frame counts, because many
    deltas are small.
    """
    return int(frame.estimated_size()) + _FRAME_BYTES


def encode(frame: pl.DataFrame) -> bytes:
    """A frame as bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return sealed(buffer.getvalue())


def decode(data: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The frame of bytes that `encode` of this or an earlier release wrote, or these columns of it;
    earlier releases did not seal them.

    Raises `CorruptSegment`.
    """
    try:
        whole = unsealed(data) if is_sealed(data) else data
        if not whole.startswith(_PARQUET):
            raise ValueError("it is no Parquet")
        wanted = None if columns is None else list(columns)
        return pl.read_parquet(io.BytesIO(whole), columns=wanted, use_statistics=False)
    # A panic of Polars derives from BaseException alone.
    except (Exception, pl.exceptions.PanicException) as error:
        raise CorruptSegment(
            f"a run of {len(data)} bytes cannot be decoded: {error}",
            remedy="restore the record from a replica or a backup of its topic",
        ) from error


def flush(
    table: AuxiliaryTable,
    deltas: Mapping[bytes, pl.DataFrame],
    new_id: Callable[[], str],
    limit: int,
) -> list[Put]:
    """Folds deltas into a run of level 0 and deletes them; returns nothing if there are no
    deltas.
    """
    if not deltas:
        return []
    return _run(table, deltas.values(), 0, new_id(), limit) + [(key, None) for key in deltas]


def oldest(deltas: Mapping[bytes, pl.DataFrame], max_bytes: int) -> dict[bytes, pl.DataFrame]:
    """The deltas to flush next, in their order: at most this many bytes in memory, and at least one
    delta. A delta without rows goes with the delta before it, which may hold its rows.
    """
    chosen: dict[bytes, pl.DataFrame] = {}
    room = max_bytes
    for key, frame in deltas.items():
        room -= weight(frame)
        if chosen and frame.height and room < 0:
            break
        chosen[key] = frame
    return chosen


def choose(runs: Mapping[bytes, int], fan_in: int, max_bytes: int) -> list[bytes]:
    """The keys of the runs to merge next: whole runs of one level that has more than `fan_in` runs,
    with at most `max_bytes` in total; empty if already two of them are larger.
    """
    levels = _by_level(runs)
    for level in sorted(levels):
        found = levels[level]
        if len(found) <= fan_in:
            continue
        chosen: list[list[bytes]] = []
        weight = 0
        for pieces in sorted(found.values(), key=lambda pieces: sum(runs[key] for key in pieces)):
            weight += sum(runs[key] for key in pieces)
            if weight > max_bytes:
                break
            chosen.append(pieces)
        if len(chosen) > 1:
            return [key for pieces in chosen for key in pieces]
    return []


def crowded(runs: Mapping[bytes, int], fan_in: int, max_bytes: int) -> int:
    """Bytes of the runs that wait for a merge: those of levels with more than `fan_in` runs. 0 if
    `choose` chooses none.
    """
    if not choose(runs, fan_in, max_bytes):
        return 0
    levels = (found for found in _by_level(runs).values() if len(found) > fan_in)
    return sum(runs[key] for found in levels for pieces in found.values() for key in pieces)


def _by_level(runs: Mapping[bytes, int]) -> dict[int, dict[str, list[bytes]]]:
    """The keys of the pieces of each run, by level."""
    levels: dict[int, dict[str, list[bytes]]] = {}
    for key in sorted(runs):
        level, run_id = keys.run_parts(key)
        levels.setdefault(level, {}).setdefault(run_id, []).append(key)
    return levels


def merge(
    table: AuxiliaryTable,
    parts: Sequence[tuple[bytes, pl.DataFrame]],
    new_id: Callable[[], str],
    limit: int,
) -> list[Put]:
    """Folds whole runs into one of the next level and deletes them."""
    level = 1 + max(keys.run_parts(key)[0] for key, _ in parts)
    rows = _run(table, [frame for _, frame in parts], level, new_id(), limit)
    return rows + [(key, None) for key, _ in parts]


def _run(
    table: AuxiliaryTable, frames: Iterable[pl.DataFrame], level: int, run_id: str, limit: int
) -> list[Put]:
    rows = table.fold(pl.concat(list(frames)))
    pieces = [rows[start : start + _PIECE_ROWS] for start in range(0, rows.height, _PIECE_ROWS)]
    encoded: list[bytes] = []
    while pieces:
        piece = pieces.pop(0)
        data = encode(piece)
        if len(data) > limit and piece.height > 1:
            middle = piece.height // 2
            pieces[:0] = [piece[:middle], piece[middle:]]
        else:
            encoded.append(data)
    return [
        (keys.run(table.run, level, run_id, number), data) for number, data in enumerate(encoded)
    ]

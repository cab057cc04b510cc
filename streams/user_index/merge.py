"""Merging runs of the `by_user` index, a bounded range of users at a time."""

from collections.abc import Iterator, Sequence

import polars as pl
from rocksdict import Snapshot

from schemas.tables.erased import NO_MASK, Mask
from schemas.tables.fold import fold
from streams.user_index import block as block
from streams.user_index.block import CorruptBlock
from streams.user_index.runs import Run, ranges
from streams.user_index.store import UserStore, block_key

__all__ = ["RunMerge", "load_block", "write_blocks"]

#: About 4 MB of blocks, and 40 MB of rows while they are folded.
BLOCKS_PER_STEP = 128


class RunMerge:
    """Writes the folded rows of `runs` as one run, without the rows of sources that are not in
    `kept`, and without those that `mask` hides.

    A crash loses only the work done so far: blocks count only after the caller has written the
    run's entry.
    """

    def __init__(
        self, store: UserStore, runs: Sequence[Run], kept: frozenset[str], mask: Mask = NO_MASK
    ) -> None:
        self.runs = tuple(runs)
        self.mask = mask
        self._store = store
        self._kept = pl.Series(sorted(kept), dtype=pl.String)
        # The blocks at the edges of a range are read twice: they must be few among the rest.
        blocks = max(BLOCKS_PER_STEP, 4 * len(self.runs))
        self._ranges = ranges(self.runs, blocks)[::-1]
        self._number = store.new_number()
        self._rows = 0
        self._firsts: list[bytes] = []

    def step(self) -> Run | None:
        """Merges the next range; the new run after the last one. Blocking.

        Raises `CorruptBlock`, `UserStoreFailed`.
        """
        if self._ranges:
            low, high = self._ranges.pop()
            rows = self._read(low, high).sort("user")
            self._firsts += write_blocks(self._store, self._number, len(self._firsts), rows)
            self._rows += rows.height
        if self._ranges:
            return None
        return Run(self._number, self._rows, tuple(self._firsts))

    def _read(self, low: bytes, high: bytes | None) -> pl.DataFrame:
        snapshot = self._store.snapshot()
        inside = pl.col("user") >= low
        if high is not None:
            inside &= pl.col("user") < high
        kept = pl.col("source").is_in(self._kept.implode())
        frames = [
            block.decode(load_block(snapshot, run, number))
            for run in self.runs
            for number in run.blocks(low, high)
        ]
        if not frames:
            return pl.DataFrame(schema=block.PACKED)
        rows = _masked(self.mask, pl.concat(frames, rechunk=True).filter(inside & kept))
        # Rows of one user side by side fold in a third of the time.
        return fold(rows.sort("user"))


def _masked(mask: Mask, rows: pl.DataFrame) -> pl.DataFrame:
    """Packed rows that the mask does not hide."""
    if not len(mask) or not rows.height:
        return rows
    named = rows.select("first", user=block.names(rows["user"])).with_row_index("row")
    kept = mask.rows(named)["row"]
    return rows if len(kept) == rows.height else rows[kept]


def load_block(snapshot: Snapshot, run: Run, number: int) -> bytes:
    """The bytes of one block. Raises `CorruptBlock`."""
    try:
        data: bytes = snapshot[block_key(run.number, number)]
    except Exception as error:
        raise CorruptBlock(f"block {number} of run {run.number}: {error}") from error
    return data


def write_blocks(store: UserStore, number: int, start: int, rows: pl.DataFrame) -> Iterator[bytes]:
    """Writes sorted packed rows as blocks of a run, numbered from `start`; returns their first
    users.

    Raises `UserStoreFailed`.
    """
    pieces = list(block.split(rows))
    store.write(
        blocks={
            block_key(number, start + place): block.encode(piece)
            for place, piece in enumerate(pieces)
        }
    )
    return (piece["user"][0] for piece in pieces)

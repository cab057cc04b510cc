"""Reads a shard's index by user without changing it, also while a worker uses it.

It shows the index as of the last flush, which is one of its former states.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from streams.state.store_copy import StoreCopy, StoreUnreadable
from streams.user_index import block
from streams.user_index.block import CorruptBlock
from streams.user_index.runs import Run
from streams.user_index.store import CLEAN, FORMAT, STAMP, block_key, run_of

__all__ = ["IndexCopy"]


class IndexCopy:
    """A copy of the index in `folder`. Use it as a context; blocks.

    Raises `StoreUnreadable` if it cannot be opened or read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._copy = StoreCopy(folder)
        self.identity: str | None = None
        """Of the hot table; None if nothing was written to the disk yet, or in another format."""
        self.clean = 0
        self.covered: frozenset[str] = frozenset()
        self.runs: tuple[Run, ...] = ()

    def __enter__(self) -> Self:
        self._copy.__enter__()
        try:
            form, _, identity = (self._copy.get(STAMP) or b"").decode().partition(" ")
            if form != FORMAT:
                return self
            self.identity = identity
            self.clean = int(self._copy.get(CLEAN) or b"0")
            self.covered = frozenset(key[2:].decode() for key, _ in self._copy.items(b"c/", b"c0"))
            self.runs = tuple(run_of(*item) for item in self._copy.items(b"r/", b"r0"))
        except (ValueError, KeyError, TypeError) as error:
            self._copy.__exit__(None, None, None)
            raise self._unreadable(f"its entries are none of ours: {error}") from error
        except StoreUnreadable:
            self._copy.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._copy.__exit__(kind, error, at)

    def rows(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """The rows of each block in `interaction.SCHEMA`, with the number of the run."""
        for run in self.runs:
            for number in range(len(run.firsts)):
                data = self._copy.get(block_key(run.number, number))
                if data is None:
                    raise self._unreadable(f"block {number} of run {run.number} is not there")
                try:
                    yield run.number, block.unpack(block.decode(data))
                except CorruptBlock as error:
                    what = f"block {number} of run {run.number}: {error.message}"
                    raise self._unreadable(what) from error

    def _unreadable(self, why: str) -> StoreUnreadable:
        return StoreUnreadable(
            f"{self.folder}: {why}",
            remedy="Stop its worker and delete the folder: the index is built anew",
        )

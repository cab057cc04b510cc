"""Rows by user: an index beside the hot table. Reads are complete without it.

Rule: the rows of every *covered* segment are in the runs; every other segment, and every delta, is
read itself. So an empty index makes answers slower and never wrong.

- A segment becomes covered when it is indexed, or when it replaces only covered segments (merge,
  separation): its rows are the rows of those.
- A merge of runs drops the rows of every source that no covered segment holds; expiry leaves such
  rows behind. Before the merge begins, segments that have left the hot table lose their cover: if a
  restore brings a segment id back, the segment is read itself until it is indexed again.
- Rows that have left the hot table may stay in the runs for long. They belong to a source that is
  hidden until all of its rows are back, so readers filter by source.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import polars as pl
from rocksdict import Cache

from schemas.segment.codec import decode
from schemas.segment.index import SegmentIndex
from schemas.tables.erased import Mask
from streams.state.hot_table import HotTable
from streams.state.rocks import StoreClosed
from streams.state.state_store import StateStore
from streams.user_index import block as block
from streams.user_index.block import CorruptBlock
from streams.user_index.lineage import replacement
from streams.user_index.merge import RunMerge, write_blocks
from streams.user_index.read import PinnedIndex, stored_segment
from streams.user_index.runs import Run, choose
from streams.user_index.segment_filter import SegmentFilter
from streams.user_index.store import UserStore

__all__ = ["ByUser"]

Put = tuple[bytes, bytes | None]
T = TypeVar("T")


class ByUser:
    """One shard's index. Only the event loop changes the state in memory; only one of `index` and
    `compact` may run at a time.
    """

    def __init__(self, folder: Path, cache: Cache) -> None:
        self._folder = folder
        self._cache = cache
        self._store: UserStore | None = None
        self._gone: list[Run] = []
        self._merge: RunMerge | None = None
        #: Whether the merge under way takes every run that there was.
        self._whole = False
        self._distrusted = False
        self._working = threading.Lock()
        self._closed = False
        self.runs: tuple[Run, ...] = ()
        self.covered: set[str] = set()
        self._segment_filter = SegmentFilter()

    def open(self, identity: str) -> None:
        """Opens the stored index of the hot table `identity`. Blocking.

        The identity changes whenever rows leave the table other than by expiry. Raises as
        `open_store` does, and `RuntimeError` after `close`.
        """
        with self._working:
            # an open in a thread may be cancelled, and closed, before that thread begins
            if self._closed:
                raise RuntimeError("the index by user was closed")
            self._store = UserStore(self._folder, self._cache, identity)
            self.runs = tuple(self._store.runs)
            self.covered = set(self._store.covered)

    def close(self) -> None:
        """Closes the store for good; the runs stay on disk.

        Blocking: waits for a step, or an `open`, in progress.
        """
        with self._working:
            self._closed = True
            if self._store is not None:
                store, self._store = self._store, None
                store.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Runs a call in a thread; `close` waits for its end, even if the caller was cancelled."""

        def held() -> T:
            with self._working:
                return work()

        return await asyncio.to_thread(held)

    @property
    def store(self) -> UserStore:
        """The open store. Raises `StoreClosed` after `close`: a read may begin while its shard
        ends; and `RuntimeError` before `open`.
        """
        if self._closed:
            raise StoreClosed(self._folder)
        if self._store is None:
            raise RuntimeError("the index by user is not open")
        return self._store

    def follow(self, puts: Iterable[Put], table: HotTable) -> None:
        """Takes note of a committed step, just before `table` applies it: segments that replace
        covered ones become covered.
        """
        removed, added = replacement(puts, table)
        if removed <= self.covered:
            self.covered |= added

    def uncovered(self, table: HotTable) -> list[SegmentIndex]:
        """The segments that are not in the runs."""
        return [table.segments[name] for name in sorted(table.segments.keys() - self.covered)]

    def pin(self, table: HotTable, state_store: StateStore) -> PinnedIndex:
        """Everything a read needs, as it is now."""
        segments = self.uncovered(table)
        self._segment_filter.keep({index.id for index in segments})
        return PinnedIndex(
            deltas=table.deltas.frames(),
            segments=segments,
            segment_filter=self._segment_filter,
            # Taking one is a good part of a short read: only who needs it does.
            state_store=state_store.snapshot() if segments else None,
            runs=self.runs,
            blocks=self.store.snapshot(),
            mask=table.mask,
        )

    async def index(
        self,
        segments: Sequence[SegmentIndex],
        state_store: StateStore,
        masked: Callable[[SegmentIndex, pl.DataFrame], pl.DataFrame] = lambda index, rows: rows,
    ) -> None:
        """Covers `segments` by one run, without the rows that `masked` leaves out. Raises
        `SegmentGone`, `UserStoreFailed`.
        """
        ids = {index.id for index in segments}
        covered = self.covered | ids

        def load(index: SegmentIndex) -> pl.DataFrame:
            return masked(index, decode(stored_segment(state_store, index)))

        run = await self._in_thread(lambda: self._write_run(segments, load, covered))
        if not self._distrusted:
            self.runs = (*self.runs, run)
            self.covered |= ids

    def _write_run(
        self,
        segments: Sequence[SegmentIndex],
        load: Callable[[SegmentIndex], pl.DataFrame],
        covered: set[str],
    ) -> Run:
        # No snapshot: it would keep the state store's folder locked after a shard has let go of it.
        frames = [block.pack(load(index)) for index in segments]
        # Segments are sorted by source: so are a user's rows then, which compresses well.
        rows = pl.concat(frames).sort("user", maintain_order=True)
        store, number = self.store, self.store.new_number()
        run = Run(number, rows.height, tuple(write_blocks(store, number, 0, rows)))
        store.write(add=run, covered=covered)
        return run

    async def compact(self, table: HotTable) -> bool:
        """One bounded step of merging runs; False if there is nothing to do.

        Raises `UserStoreFailed`.
        """
        if self._distrusted:
            await self._in_thread(lambda: self.store.wipe())
            self._distrusted, self._merge, self._gone = False, None, []
            return True
        if self._gone:
            await self._in_thread(lambda: self.store.remove_blocks(self._gone[-1]))
            self._gone.pop()
            return True
        self._merge = self._merge or self._plan(table)
        if self._merge is None:
            self.store.cleaned(table.mask.generation)
            return False
        try:
            run = await self._in_thread(self._merge.step)
        except CorruptBlock:
            self.distrust()
            return True
        if run is not None and not self._distrusted:
            await self._replace(self._merge.runs, run)
        return True

    def _plan(self, table: HotTable) -> RunMerge | None:
        # after an erasure every run is written again, without what the mask hides
        self._whole = not self.is_clean(table.mask)
        chosen = list(self.runs) if self._whole else choose(self.runs)
        if not chosen:
            return None
        # From here on nothing can come back covered by rows that this merge drops.
        self.covered &= table.segments.keys()
        held = {source for name in self.covered for source in table.segments[name].sources}
        return RunMerge(self.store, chosen, frozenset(held), table.mask)

    async def _replace(self, former: Sequence[Run], run: Run) -> None:
        added = run if run.rows else None
        covered = set(self.covered)
        await self._in_thread(lambda: self.store.write(add=added, remove=former, covered=covered))
        if self._merge is not None and self._whole:
            self.store.cleaned(self._merge.mask.generation)
        self._merge = None
        if not self._distrusted:
            # Readers that pinned the former runs have their blocks; the next ones do not ask.
            self.runs = tuple(other for other in self.runs if other not in former)
            self.runs += (added,) if added is not None else ()
            self._gone = list(former)

    def is_clean(self, mask: Mask) -> bool:
        """Whether the runs have no rows of users whom the mask's generations have erased."""
        return self.store.clean >= mask.generation

    def distrust(self) -> None:
        """Forgets the whole index at once, because stored data was wrong."""
        self._distrusted = True
        self.runs, self.covered = (), set()

"""Removes the rows of erased users from deltas, segments, auxiliary tables and the index by user.

One call of `step` commits at most one bounded transaction. The job is only in memory: after a crash
a new one looks again at everything that may hold such rows.
"""

import asyncio
from dataclasses import replace

import polars as pl

from agents.shard.jobs.archived import Archived, counted, without_hidden
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.indexer import Indexer
from schemas.segment.index import SegmentIndex
from streams.state import auxiliary_table as auxiliary
from streams.state import compaction_plan, keys
from streams.state.erasures import ErasureMarks
from streams.state.hot_table import HotTable
from streams.state.store import Put, Step

__all__ = ["Clean", "is_due"]


def is_due(context: ShardContext, indexer: Indexer, waiting: set[str]) -> bool:
    """Whether there is something to clean; `waiting` are segments that a held source keeps."""
    table = context.store.table
    marks = table.erasure_marks
    if marks is None:
        return False
    if table.unclean - waiting - context.damaged or table.unclean_runs or not indexer.is_clean():
        return True
    return marks.hot < table.mask.generation and not table.unclean


class Clean:
    """Cleans what is hot in one shard."""

    def __init__(self, context: ShardContext, indexer: Indexer, waiting: set[str]) -> None:
        """`waiting` gets the segments that keep rows of held sources."""
        self._context = context
        self._indexer = indexer
        self._waiting = waiting
        #: Of the mask that deltas were last compared with; and the keys of deltas from before it.
        self._generation = 0
        self._deltas: set[bytes] = set()
        self._others: set[bytes] = set()

    @property
    def _table(self) -> HotTable:
        return self._context.store.table

    def _behind(self) -> bool:
        marks = self._table.erasure_marks
        return marks is not None and marks.hot < self._table.mask.generation

    async def step(self) -> bool:
        """Does the next step; False once the job is done. Raises `Fenced`, `StepFailed`."""
        self._look()
        return (
            await self._flush()
            or await self._segments()
            or await self._runs()
            or await self._index()
            or await self._mark()
        )

    def _look(self) -> None:
        """Notes the deltas that another erasure may have left rows in: those before it."""
        table = self._table
        if table.mask.generation == self._generation:
            return
        self._generation = table.mask.generation
        if self._behind():
            self._deltas = set(table.deltas)
            self._others = {key for deltas in table.auxiliary.values() for key in deltas}

    async def _flush(self) -> bool:
        """Deltas in memory are clean: what they were written as goes with a flush."""
        if self._deltas:
            self._deltas.clear()
            if len(self._table.deltas):
                await self._context.flush()
                return True
        others = {key for deltas in self._table.auxiliary.values() for key in deltas}
        self._others &= others
        if self._others:
            await self._context.flush_auxiliary()
        return bool(self._others)

    async def _segments(self) -> bool:
        context, table = self._context, self._table
        left = sorted(table.unclean - self._waiting - context.damaged)
        if not left:
            return False
        step, archived = Step(), Archived(context)
        weight = removed = 0
        for name in left:
            index = table.segments[name]
            rows = await context.store.read(index)
            mask, held = table.mask, context.held(index.sources)
            kept = await asyncio.to_thread(without_hidden, mask, rows, held)
            hidden = await asyncio.to_thread(mask.rows, kept) if held else kept
            if kept.height < rows.height:
                removed += rows.height - kept.height
                step.puts += await self._rewritten(index, kept, archived)
            elif hidden.height < kept.height:
                self._waiting.add(name)
            else:
                table.unclean.discard(name)
            weight += index.bytes
            if weight >= context.work_bytes:
                break
        if step.puts:
            step.puts += counted(table, rows=removed)
            archived.join(step)
            await context.store.commit(step)
        return True

    async def _rewritten(
        self, index: SegmentIndex, kept: pl.DataFrame, archived: Archived
    ) -> list[Put]:
        """The segments that replace one; if it is in the archive, they go there too."""
        context = self._context
        puts = await asyncio.to_thread(
            compaction_plan.store, kept, index.level, context.new_id, context.limits
        )
        if self._table.archived(index):
            archived.replace(index, puts)
        return puts + compaction_plan.remove([index])

    def _marks(self) -> ErasureMarks:
        marks = self._table.erasure_marks
        if marks is None:
            raise AssertionError("users were erased, so there are marks")
        return marks

    async def _runs(self) -> bool:
        context, table = self._context, self._table
        if not table.unclean_runs:
            return False
        by_run = {each.run: each for each in auxiliary.TABLES}
        puts: list[Put] = []
        looked: list[bytes] = []
        weight = 0
        for key in sorted(table.unclean_runs):
            data = context.store.state_store.get(key) or b""
            masked = by_run[keys.kind(key)].masked
            rows = await asyncio.to_thread(auxiliary.decode, data)
            kept = await asyncio.to_thread(masked, table.mask, rows)
            if kept is not rows:
                value = await asyncio.to_thread(auxiliary.encode, kept)
                puts.append((key, value if kept.height else None))
            looked.append(key)
            weight += len(data)
            if weight >= context.work_bytes:
                break
        if puts:
            await context.store.commit(Step(puts=puts))
        table.unclean_runs.difference_update(looked)
        return True

    async def _index(self) -> bool:
        if self._indexer.is_clean():
            return False
        await self._indexer.clean()
        return True

    async def _mark(self) -> bool:
        """Notes that everything is clean, if it is."""
        marks = self._marks()
        if self._table.unclean or marks.hot >= self._table.mask.generation:
            return False
        await self._context.store.commit(
            Step(puts=[replace(marks, hot=self._table.mask.generation).put()])
        )
        return True

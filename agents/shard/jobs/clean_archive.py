"""Removes the rows of erased users from the archive: FILTER, MOVE, DELETE.

An archived segment that has such rows is replaced by one without them at the archive's end, and the
entries of the manifest change in the same step. The former copy counts no more from then on. The
segments that count and lie below such copies, or in one record batch with them, are moved to the
end too; when none is left there, everything below is deleted.

A damaged record is replaced by the hot data, if that is there. Otherwise it stays, and so does what
lies below it, until a person has mended it.

All of this is one pass over the archive, which may copy most of it. So a pass is for all requests
that were there when it began (`target`, a generation of the mask). Those that come meanwhile, or
while the archive rests after a pass, share the next one. Their users are hidden already.

One call of `step` commits at most one bounded transaction. The job is only in memory: after a crash
a new one finds in the manifest and in the marks what has been done.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import aclosing
from dataclasses import replace

from agents.shard.jobs.archived import Archived, counted, without_hidden
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.erasures import dirty_entries
from agents.shard.jobs.reports import trouble
from schemas.errors import Recoverable
from schemas.records.lifecycle import Phase
from schemas.segment.codec import decode
from schemas.segment.index import SegmentIndex
from streams.kafka.log import ReaderOptions
from streams.kafka.topics import Topics
from streams.state import compaction_plan
from streams.state.archive import ArchiveDamage, ArchivedSegment
from streams.state.hot_table import HotTable, ManifestEntry
from streams.state.store import Step

__all__ = ["CleanArchive", "archive_due", "dirty_sources"]

log = logging.getLogger(__name__)

#: Steps after which other work may come first.
_STEPS = 16


def dirty_sources(context: ShardContext, sources: Collection[str]) -> set[str]:
    """Those of the sources whose archived segments may have rows of erased users, and that nobody
    holds.
    """
    if context.store.table.archive_clean >= context.store.table.mask.generation:
        return set()
    dirty = {source for source, _ in dirty_entries(context)} & set(sources)
    return dirty - context.held(dirty)


def archive_due(context: ShardContext, target: int, *, deletes: bool) -> bool:
    """Whether there is something to remove from the archive for users who were erased up to the
    generation `target`; with `deletes` also dead copies.
    """
    table = context.store.table
    marks = table.erasure_marks
    if marks is None:
        return False
    if table.archive_clean < target:
        dirty = dirty_entries(context, target)
        if not dirty:
            table.archive_clean = target
        else:
            sources = {source for source, name in dirty if readable(context, name)}
            if sources - context.held(sources):
                return True
    return deletes and marks.dead > 0


def readable(context: ShardContext, segment: str) -> bool:
    """Whether the record of a segment in the archive was not found damaged a while ago."""
    return not context.rests.resting(segment, 0)


class CleanArchive:
    """Cleans the archive of one shard of users who were erased up to the generation `target`; with
    `restoring` (source -> version) only theirs, without moving and deleting: a source with a
    damaged record is reported as failed.
    """

    def __init__(
        self, context: ShardContext, target: int, restoring: Mapping[str, int] | None = None
    ) -> None:
        self._context = context
        self._target = target
        self._restoring = restoring
        self.failed: set[str] = set()
        self._left = _STEPS
        #: Where the record batch with the last dead copy ends; 0 before it is looked at.
        self._end = 0
        self.refused = False
        """Whether the broker has refused to delete records of the archive."""

    @property
    def versions(self) -> Mapping[str, int]:
        """The sources that are restored once this is done, with their versions."""
        return self._restoring or {}

    @property
    def _table(self) -> HotTable:
        return self._context.store.table

    async def step(self) -> bool:
        """Does the next step; False once the job is done, or other work may come first.

        Raises `Fenced`, `StepFailed`, `ArchiveSilent`.
        """
        if self._restoring is not None:
            return await self._filter()
        self._left -= 1
        return self._left >= 0 and (
            await self._filter() or await self._move() or await self._delete()
        )

    async def _filter(self) -> bool:
        context, table = self._context, self._table
        if table.archive_clean >= self._target:
            return False
        dirty = dirty_entries(context, self._target)
        held = context.held({source for source, _ in dirty})
        wanted = self._chunk(
            [
                (source, name)
                for source, name in dirty
                if source not in held and self._wants(source, name)
            ]
        )
        if not wanted:
            return False
        found = await self._read(wanted, {name: source for source, name in dirty})
        if not found:
            return True
        step, archived, removed = Step(), Archived(context), 0
        for index, data in found:
            rows = await asyncio.to_thread(decode, data)
            kept = await asyncio.to_thread(without_hidden, table.mask, rows, ())
            if kept.height == rows.height:
                archived.keep(index)
                continue
            removed += rows.height - kept.height
            puts = await asyncio.to_thread(
                compaction_plan.store, kept, index.level, context.new_id, context.limits
            )
            archived.replace(index, puts)
            if index.id in table.segments:
                # it is hot as well: what is hot stays what is in the archive
                step.puts += puts + compaction_plan.remove([index])
        archived.join(step)
        step.puts += counted(table, archived=removed) if removed else []
        await context.store.commit(step)
        return True

    def _wants(self, source: str, segment: str) -> bool:
        if self._restoring is None:
            return readable(self._context, segment)
        return source in self._restoring and source not in self.failed

    async def _move(self) -> bool:
        """Copies segments that lie below dead copies to the end."""
        context, table = self._context, self._table
        marks = table.erasure_marks
        if marks is None or not marks.dead:
            return False
        dead = self._end = self._end or await self._batch_end(marks.dead)
        below = sorted(
            (entry.offset, source, name)
            for source, entries in table.manifest.items()
            for name, entry in entries.items()
            if entry.offset < dead
        )
        whole = [(source, name) for _, source, name in below if readable(context, name)]
        wanted = self._chunk(whole)
        if not wanted:
            return False
        found = await self._read(wanted, {name: source for source, name in whole})
        if not found:
            return True
        step, archived = Step(), Archived(context)
        for index, data in found:
            archived.move(index, data)
        archived.join(step)
        await context.store.commit(step)
        return True

    async def _delete(self) -> bool:
        """Deletes what lies below the last dead copy: nothing there counts."""
        context, marks = self._context, self._table.erasure_marks
        if marks is None or not marks.dead:
            return False
        entries = (one for some in self._table.manifest.values() for one in some.values())
        if any(entry.offset < self._end for entry in entries):
            self.refused = True  # a damaged one, which cannot be moved, is there
            return False
        topic = Topics(context.settings.prefix).archive
        try:
            await context.kafka.admin.delete_below((topic, context.partition), self._end)
        except Recoverable as error:
            self.refused = True
            log.warning(
                "%s[%d] keeps copies of erased users' rows, which count no more: %s",
                *(topic, context.partition, error),
            )
            return False
        await context.store.commit(Step(puts=[replace(marks, dead=0).put()]))
        return True

    async def _batch_end(self, dead: int) -> int:
        """The offset behind the record batch that holds the offset before `dead`: the log gives and
        deletes whole batches.
        """
        context = self._context
        partition = (Topics(context.settings.prefix).archive, context.partition)
        start, _ = (await context.kafka.admin.bounds([partition]))[partition]
        if start >= dead:
            return dead  # it was deleted, and that was not noted
        reader = context.kafka.reader({partition: dead - 1}, ReaderOptions(name="archive-end"))
        await reader.start()
        try:
            while not (batches := await reader.progress()):
                pass
            return max(dead, batches[0].next_offset)
        finally:
            await reader.close()

    def _chunk(self, names: list[tuple[str, str]]) -> dict[str, ManifestEntry]:
        """The entries of the first segments: so many as one step may have."""
        found: dict[str, ManifestEntry] = {}
        weight = 0
        for source, name in names:
            entry = self._table.manifest[source][name]
            if found and weight + entry.bytes > self._context.work_bytes:
                break
            found[name] = entry
            weight += entry.bytes
        return found

    async def _read(
        self, entries: dict[str, ManifestEntry], sources: Mapping[str, str]
    ) -> list[tuple[SegmentIndex, bytes]]:
        """The segments of these entries, without those whose record is damaged."""
        context, found = self._context, []
        damaged: list[ArchiveDamage] = []
        async with aclosing(context.archive.read(entries, sources)) as reading:
            async for one in reading:
                if isinstance(one, ArchivedSegment):
                    found.append((one.index, one.data))
                elif one.segment in self._table.segments:
                    index = self._table.segments[one.segment]
                    found.append((index, await asyncio.to_thread(context.store.bytes_of, index)))
                else:
                    damaged.append(one)
        context.rests.rest({one.segment: 0 for one in damaged})
        first = {sources[one.segment]: one for one in reversed(damaged)}
        told = []
        for source, one in first.items():
            log.error(f"{one}: rows of erased users may be in it")
            if self._restoring is not None:
                self.failed.add(source)
                told.append(trouble(Phase.FAILED, source, self._restoring[source], one))
        if told:
            await context.store.commit(Step(records=context.reports(told)))
        return found

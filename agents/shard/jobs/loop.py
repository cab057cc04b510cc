"""The work loop: the work of a shard besides ingest, one bounded step at a time.

Users are hidden first, then comes what is hot of them, then lifecycle, late rows, the archive of
erased users, merge, the index by user. But full deltas are flushed between the steps of a long job,
and so is merged what waits for a merge where that is too much, because ingest waits for both. There
is no queue: the loop finds jobs by comparing what should be true with what the shard has applied.

Trouble with one record is the trouble of its sources: they are reported and left alone for a while,
and everything else goes on.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from agents.resources.budget import Budget
from agents.shard.jobs.archive_safety import ArchiveUnsafe
from agents.shard.jobs.backlog import Backlog
from agents.shard.jobs.clean import Clean, is_due
from agents.shard.jobs.clean_archive import CleanArchive, archive_due, dirty_sources
from agents.shard.jobs.compact import compact
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.erasures import Erasures
from agents.shard.jobs.expire import Expire
from agents.shard.jobs.indexer import Indexer
from agents.shard.jobs.pass_rests import PassRests
from agents.shard.jobs.reports import Reminder, trouble
from agents.shard.jobs.restore import Restore
from agents.shard.jobs.rests import Rests
from agents.shard.jobs.trouble import WorkTrouble
from schemas.errors import CorruptSegment
from schemas.records.lifecycle import FailureCode, Phase, State
from schemas.words.plural import plural
from streams.kafka.topics import Topics
from streams.log_facts import facts
from streams.metrics import names
from streams.period import milliseconds
from streams.state.archive import ArchiveSilent
from streams.state.store import Step, made_ms

__all__ = ["WorkLoop"]

log = logging.getLogger(__name__)

_IDLE_S = 1.0
#: Queries, and ingest that catches up, delay background work for at most this time.
_DEFER_S = 60.0
#: How soon a shard asks again whose turn in the background it is.
_TURN_S = 0.1
_LATE_EVERY_S = 5.0
_SOURCES_PER_JOB = 2_000

#: How soon the archive is looked at for erased users, if there was nothing to do.
_ARCHIVE_EVERY_S = 1.0
#: How soon a broker that has refused to delete is asked again.
_REFUSED_S = 600.0

Versions = dict[str, tuple[int, int]]
Job = Expire | Restore | Clean | CleanArchive
_WORK: Mapping[type[Job], str] = {
    Expire: "expire",
    Restore: "restore",
    Clean: "erase",
    CleanArchive: "erase",
}
"""What the time of a step is counted as."""


@dataclass(slots=True)
class _Timed:
    """Whether the time of a step counts."""

    counts: bool = True


class WorkLoop:
    """One shard's background work; `wake` makes it look for work at once."""

    def __init__(self, context: ShardContext, budget: Budget, indexer: Indexer) -> None:
        self._context = context
        self._indexer = indexer
        self._budget = budget
        self._job: Job | None = None
        self._began = 0.0
        self._reminder = Reminder(context)
        self._erasures = Erasures(context, indexer)
        self._backlog = Backlog(context)
        #: Segments with rows of erased users that somebody's hold keeps.
        self._kept: set[str] = set()
        self._late_at = 0.0
        self._archive_at = 0.0
        self._delete_at = 0.0
        #: The pass over the archive that is under way: for erasures up to this generation of the
        #: mask (0 for none), since when, and how long it has worked.
        self._pass_target = 0
        self._pass_began = 0.0
        self._pass_s = 0.0
        self._pass_rests = PassRests()
        self._woken = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    def wake(self) -> None:
        """Look for work, because something may have become due."""
        self._woken.set()

    async def run(self) -> None:
        """Works until cancelled. Raises `Fenced`, `StepFailed`, `StoreDamaged`, `Fatal`."""
        try:
            while True:
                self._woken.clear()
                seen = self._context.view.changes
                if await self._once():
                    await asyncio.sleep(0)
                    continue
                changed = asyncio.ensure_future(self._context.view.changed(seen))
                woken = asyncio.ensure_future(self._woken.wait())
                try:
                    await asyncio.wait(
                        [changed, woken],
                        timeout=self._rest_s(),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    changed.cancel()
                    woken.cancel()
        finally:
            if isinstance(self._job, Restore):
                await self._job.close()
            await self._context.archive.close()

    def _rest_s(self) -> float:
        if self._budget.scheduler.background.locked():
            return _TURN_S
        return min(_IDLE_S, self._indexer.rest_s or _IDLE_S)

    @property
    def flush_due(self) -> bool:
        """Whether deltas have to be flushed, of rows or of counts and users."""
        table, budget = self._context.store.table, self._budget
        return (
            table.delta_rows >= budget.delta_rows or table.auxiliary_bytes >= budget.auxiliary_bytes
        )

    def check_room(self) -> None:
        """Makes ingest wait while the deltas are full, or too much waits for a merge, and continue
        when that is over.
        """
        table, budget = self._context.store.table, self._budget
        if (
            table.delta_rows >= budget.delta_rows_full
            or table.auxiliary_bytes >= budget.auxiliary_bytes_full
            or self._backlog.full(self._spared)
        ):
            self.room.clear()
            self.wake()
        else:
            self.room.set()

    @property
    def _spared(self) -> frozenset[str]:
        """Sources whose segments the job under way has chosen: no merge takes them from it."""
        job = self._job
        return frozenset() if job is None or isinstance(job, Clean) else frozenset(job.versions)

    async def _once(self) -> bool:
        try:
            return await self._work()
        except CorruptSegment as error:
            if not error.segment:
                raise
            await self._damaged(error)
            return True

    async def _work(self) -> bool:
        self._context.store.state_store.check()
        # the bounds move with the number of shards that this worker holds
        self.check_room()
        if await self._erasures.hide():
            return True
        if self._context.store.table.delta_rows >= self._budget.delta_rows:
            with self._timed("flush"):
                await self._context.flush()
            self.check_room()
            return True
        if self._context.store.table.auxiliary_bytes >= self._budget.auxiliary_bytes:
            with self._timed("flush"):
                await self._context.flush_auxiliary()
            self.check_room()
            return True
        if await self._merge_first() or await self._erasures.unmerge():
            return True
        if self._job is None:
            self._job, self._began = self._find(), self._context.clock.monotonic_s()
        if self._job is not None:
            async with self._budget.scheduler.lifecycle() as ours:
                if ours:
                    with self._timed(_WORK[type(self._job)]):
                        await self._step(self._job)
            self.check_room()
            return True
        if await self._erasures.report() or await self._reminder.step():
            return True
        scheduler = self._budget.scheduler
        if scheduler.background.locked() or not scheduler.leaves_room(_DEFER_S):
            return False
        async with scheduler.background:
            with self._timed("merge") as timed:
                done = await compact(self._context) or await self._indexer.step()
                timed.counts = done
            return done

    @contextmanager
    def _timed(self, work: str) -> Iterator[_Timed]:
        """Measure a step, unless it says that it had nothing to do."""
        timed, began = _Timed(), self._context.clock.monotonic_s()
        yield timed
        if timed.counts:
            passed = self._context.clock.monotonic_s() - began
            self._context.environment.meters.observe(names.STEP_TIME, passed, work)

    async def _merge_first(self) -> bool:
        """Merge, if so much waits for it that ingest waits. False also while it is the turn of
        another shard.
        """
        if not self._backlog.full(self._spared):
            return False
        async with self._budget.scheduler.merging() as ours:
            merged = ours and await compact(self._context, self._spared)
        self.check_room()
        return merged

    @property
    def _rests(self) -> Rests:
        return self._context.rests

    async def _step(self, job: Job) -> None:
        """The next step of the job. Sources that fail in it rest, and so do all of its sources if
        the archive cannot be read.
        """
        if isinstance(job, Clean):
            if not await job.step():
                self._ended(job)
            return
        failed = len(job.failed)
        versions = dict(job.versions)
        began = self._context.clock.monotonic_s()
        try:
            more = await job.step()
            if isinstance(job, CleanArchive) and not versions:
                self._pass_s += self._context.clock.monotonic_s() - began
        except ArchiveSilent as error:
            what = WorkTrouble(FailureCode.ARCHIVE_SILENT, error.place, "", error.message)
            await self._delay(job, versions, what)
            return
        except ArchiveUnsafe as error:
            log.error(f"shard {self._context.partition}: nothing expires: {error}")
            what = WorkTrouble(FailureCode.ARCHIVE_UNSAFE, "", "", error.message)
            await self._delay(job, versions, what)
            return
        if len(job.failed) > failed:
            self._rests.rest({source: versions[source] for source in job.failed & versions.keys()})
        if not more:
            self._ended(job)

    async def _damaged(self, error: CorruptSegment) -> None:
        """A hot segment has other bytes than its index says. Raises `StoreDamaged` the first time;
        if the changelog has the same bytes, only the work on its sources rests.
        """
        context = self._context
        context.store.refill_once(error.segment)
        log.error(f"shard {context.partition}: {error}")  # the log drops repeated format strings
        context.damaged.add(error.segment)
        job, index = self._job, context.store.table.segments.get(error.segment)
        if isinstance(job, Clean):
            self._ended(job)  # it begins again without that segment
        elif job is not None and index is not None:
            topic = Topics(context.settings.prefix).changelog
            what = f"{topic}[{context.partition}]: {error.message}"
            found = WorkTrouble(FailureCode.SEGMENT_DAMAGED, "", error.segment, what)
            versions = job.versions.items()
            await self._delay(job, {one: at for one, at in versions if one in index.sources}, found)

    async def _delay(
        self, job: Expire | Restore | CleanArchive, versions: Mapping[str, int], found: WorkTrouble
    ) -> None:
        """End a job: these of its sources rest, and the others are found again."""
        self._job = None
        self._archive_at = self._context.clock.monotonic_s() + _ARCHIVE_EVERY_S
        if isinstance(job, Restore):
            await job.close()
        self._rests.rest(versions)
        if versions and not (isinstance(job, Expire) and job.late):
            items = (trouble(Phase.DELAYED, *one, found) for one in versions.items())
            records = self._context.reports(items)
            await self._context.store.commit(Step(records=records))

    def _find(self) -> Job | None:
        context, now = self._context, self._context.clock.monotonic_s()
        if context.store.table.mask.generation and self._cleaning():
            return Clean(context, self._indexer, self._kept)
        if expiring := self._pending(State.EXPIRING):
            return Expire(context, expiring)
        if restoring := self._pending(State.RESTORING):
            # what comes back from the archive has passed the mask
            dirty = dirty_sources(context, restoring)
            if not dirty:
                return Restore(context, restoring)
            versions = {source: restoring[source][0] for source in dirty}
            return CleanArchive(context, context.store.table.mask.generation, versions)
        if now >= self._late_at:
            self._late_at = now + _LATE_EVERY_S
            if late := self._late():
                return Expire(context, late, late=True)
        if now >= self._archive_at:
            target = self._pass_target or context.store.table.mask.generation
            if archive_due(context, target, deletes=now >= self._delete_at):
                if not self._pass_target:
                    self._pass_target, self._pass_began, self._pass_s = target, now, 0.0
                return CleanArchive(context, target)
            self._archive_at = now + _ARCHIVE_EVERY_S
            if self._pass_target:
                rest_s = self._pass_rests.after(self._pass_began, now, self._pass_s)
                self._archive_at = now + max(_ARCHIVE_EVERY_S, rest_s)
                self._pass_target = 0
        return None

    def _ended(self, job: Job) -> None:
        self._job = None
        self._say(job)
        if isinstance(job, Expire | Restore):
            for source in job.versions:
                self._rests.over(source)
        if isinstance(job, CleanArchive) and job.refused:
            self._delete_at = self._context.clock.monotonic_s() + _REFUSED_S

    def _say(self, job: Job) -> None:
        """One line for a job that is done: its sources have a line each where they were decided."""
        sources = 0 if isinstance(job, Clean) else len(job.versions)
        if not sources:
            return
        partition, work = self._context.partition, _WORK[type(job)]
        passed = self._context.clock.monotonic_s() - self._began
        log.info(
            "shard %d: %s of %d %s took %.1f s",
            *(partition, work, sources, plural(sources, "source"), passed),
            extra=facts(shard=partition, work=work, step=self._context.store.last_step),
        )

    def _cleaning(self) -> bool:
        segments, held = self._context.store.table.segments, self._context.held
        self._kept &= {
            name for name in self._kept & segments.keys() if held(segments[name].sources)
        }
        return is_due(self._context, self._indexer, self._kept)

    def _pending(self, state: State) -> Versions:
        applied = self._context.store.table.applied
        found: Versions = {}
        for record in self._context.view.in_states([state]):
            done = applied.get(record.source)
            if self._rests.resting(record.source, record.version):
                continue
            if done is None or done.version < record.version:
                found[record.source] = (record.version, record.epoch)
                if len(found) >= _SOURCES_PER_JOB:
                    break
        return found

    def _late(self) -> Versions:
        """Expired sources whose late rows are many, or have waited long.

        The view may be behind, above all in a worker that has just started: a source that is
        expired in the view may have been restored here since. So the state that this shard has
        applied decides.
        """
        context, table = self._context, self._context.store.table
        oldest = context.clock.now_ms() - milliseconds(context.settings.late_age)
        found: Versions = {}
        for record in context.view.in_states([State.EXPIRED]):
            source = record.source
            done = table.applied.get(source)
            if done is None or done.state != State.EXPIRING or done.version >= record.version:
                continue
            if self._rests.resting(source, record.version):
                continue
            segments = table.segments_of(source)
            if segments and (
                table.rows_in_segments(source) >= context.settings.late_rows
                or min(made_ms(index.id) for index in segments) < oldest
            ):
                found[source] = (record.version, record.epoch)
        return found

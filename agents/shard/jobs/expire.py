"""Expiry in a shard: flush, separate, count users, COPY, VERIFY, DROP, for many sources at once.

Each call of `step` commits at most one bounded transaction. The job itself is only in memory: after
a crash a new job finds the finished work in hot table and manifest.

A damaged record that VERIFY meets is replaced by another copy of the hot data, which is still
there.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import aclosing
from functools import partial

from agents.shard.analytics import pack, unique_users
from agents.shard.jobs.archive_safety import ArchiveSafety
from agents.shard.jobs.context import ReportItem, ShardContext
from agents.shard.jobs.reports import PROGRESS_S, PROGRESS_SOURCES, expired, trouble
from schemas.records.lifecycle import Phase, State
from schemas.segment.index import SegmentIndex
from streams.kafka.log import Record
from streams.state import archive, compaction_plan, keys
from streams.state.archive import ArchiveDamage
from streams.state.hot_table import Applied, HotTable, ManifestEntry
from streams.state.store import Put, Step, bounded

__all__ = ["Expire"]

_VERIFY_BYTES = 64_000_000
_PUTS_PER_STEP = 2_000
#: Rows whose users are counted in one step: a second's work.
_COUNTED_ROWS = 2_000_000
#: How often a segment is copied again whose copy reads back damaged.
_COPIES_AGAIN = 2

log = logging.getLogger(__name__)


class Expire:
    """Moves sources to the archive; `versions` maps each source to its version and epoch.

    With `late` it archives the late rows of sources that have already expired: the same work,
    without a report and without a new applied version. `failed` has the sources that cannot go on
    now; nothing of them has been dropped here.
    """

    def __init__(
        self, context: ShardContext, versions: Mapping[str, tuple[int, int]], *, late: bool = False
    ) -> None:
        self._context = context
        self._versions = dict(versions)
        self._sources = set(versions)
        self.late = late
        self._flushed = False
        self._shared: list[str] | None = None
        self._own: dict[str, list[SegmentIndex]] | None = None
        self._uncounted: list[str] = []
        self._counted: list[Put] = []
        self._uncopied: list[SegmentIndex] | None = None
        self._unverified: list[SegmentIndex] = []
        self._undropped = sorted(self._versions)
        self._copies: Counter[str] = Counter()
        self._told_of: list[ReportItem] = []
        self.failed: set[str] = set()
        self._told = context.clock.monotonic_s()
        self._safety = ArchiveSafety(context.environment)

    async def step(self) -> bool:
        """Does the next step; False once the job is done.

        Raises `Fenced`, `StepFailed`, `ArchiveSilent`; and `ArchiveUnsafe`, before it copies or
        drops anything, while the archive would lose it.
        """
        return (
            await self._flush()
            or await self._separate()
            or await self._count()
            or await self._copy()
            or await self._verify()
            or await self._report()
            or await self._drop()
        )

    @property
    def versions(self) -> Mapping[str, int]:
        """The sources that are still worked on, with their versions."""
        return {source: version for source, (version, _) in self._versions.items()}

    @property
    def _table(self) -> HotTable:
        return self._context.store.table

    async def _flush(self) -> bool:
        """Only the rows that are present now have to be archived: rows that come later are late,
        and stay.
        """
        if self._flushed:
            return False
        self._flushed = True
        if not self._sources & self._table.sources_in_deltas():
            return False
        await self._context.flush()
        return True

    async def _separate(self) -> bool:
        """Cuts the sources' rows out of the segments that they share with others."""
        if self._shared is None:
            self._shared = [index.id for index in self._table.shared_segments(self._sources)]
        if not self._shared:
            return False
        context = self._context
        puts: list[Put] = []
        weight = 0
        while self._shared and (not puts or weight < context.work_bytes):
            index = self._table.segments[self._shared.pop()]
            frame = await context.store.read(index)
            leaving = self._sources & index.sources.keys()
            puts += await asyncio.to_thread(
                compaction_plan.separate,
                index,
                frame,
                sorted(leaving),
                context.new_id,
                context.limits,
            )
            weight += index.bytes
        await context.store.commit(Step(puts=puts))
        return True

    async def _count(self) -> bool:
        """Stores the numbers of unique users while all rows are here.

        If numbers are stored already, they stay: rows may have been dropped since, or a cancelled
        restore may have brought back only some of them.
        """
        table, store = self._table, self._context.store
        if self._own is None:
            self._own = {source: table.own_segments(source) for source in self._versions}
            if not self.late:
                self._uncounted = sorted(self._sources - table.uniques.keys())
        if not self._uncounted and not self._counted:
            return False
        own = self._own

        def weigh(source: str) -> int:
            # an entry weighs something even where there are no rows: steps stay bounded
            return sum(index.rows for index in own[source]) + _COUNTED_ROWS // _PUTS_PER_STEP

        if not self._counted:
            chunk = next(bounded(self._uncounted, weigh, _COUNTED_ROWS))
            pinned = await store.pin()
            for source in chunk:
                # Late rows too, though they stay: readers have counted them. Of the rows that came
                # since the flush some are in segments that go, so without the others the numbers
                # would be those of no moment.
                found = await asyncio.to_thread(unique_users, pinned, source)
                packed = enumerate(pack(found))
                # the first piece last: it says that all are there
                self._counted += [
                    (keys.uniques_piece(source, piece), data) for piece, data in packed
                ][::-1]
            del self._uncounted[: len(chunk)]
        puts = next(bounded(self._counted, _weight, self._context.work_bytes))
        await store.commit(Step(puts=puts))
        del self._counted[: len(puts)]
        return True

    async def _copy(self) -> bool:
        """Appends the segments that have no manifest entry yet."""
        table = self._table
        if self._uncopied is None:
            everything = [index for found in self._segments().values() for index in found]
            self._uncopied = [index for index in everything if not table.archived(index)]
            self._unverified = everything
        if not self._uncopied:
            return False
        await self._safety.check()
        chunk = next(bounded(self._uncopied, lambda index: index.bytes, self._context.work_bytes))
        appends = await asyncio.to_thread(self._records, chunk)
        await self._context.store.commit(
            Step(
                appends=appends,
                manifest_of=lambda offsets: self._manifest_of(chunk, offsets),
                records=self._context.reports(self._progress(chunk)),
            )
        )
        del self._uncopied[: len(chunk)]
        return True

    def _progress(self, chunk: Iterable[SegmentIndex]) -> list[ReportItem]:
        """How far the sources of a chunk are once it is in the archive."""
        now = self._context.clock.monotonic_s()
        if self.late or now < self._told + PROGRESS_S:
            return []
        self._told = now
        copied = {index.id for index in chunk}
        some = dict.fromkeys(_only(index) for index in chunk)
        return [self._progress_of(source, copied) for source in list(some)[-PROGRESS_SOURCES:]]

    def _progress_of(self, source: str, copied: Set[str]) -> ReportItem:
        own = self._segments()[source]
        done = [one for one in own if one.id in copied or self._table.archived(one)]
        return {
            "source": source,
            "version": self._versions[source][0],
            "phase": "progress",
            "done": len(done),
            "total": len(own),
            "bytes": sum(index.bytes for index in done),
        }

    def _records(self, chunk: Iterable[SegmentIndex]) -> list[Record]:
        context = self._context
        return [
            archive.append(
                context.settings,
                context.partition,
                index,
                context.store.bytes_of(index),
                self._epoch(index),
            )
            for index in chunk
        ]

    def _manifest_of(self, chunk: Iterable[SegmentIndex], offsets: Iterable[int]) -> list[Put]:
        return [
            (
                keys.manifest_entry(_only(index), index.id),
                ManifestEntry(
                    offset,
                    index.rows,
                    index.bytes,
                    index.checksum,
                    self._epoch(index),
                    0 if index.id in self._table.unclean else self._table.mask.generation,
                ).to_json(),
            )
            for index, offset in zip(chunk, offsets, strict=True)
        ]

    def _epoch(self, index: SegmentIndex) -> int:
        return self._versions[_only(index)][1]

    async def _verify(self) -> bool:
        """Reads back what will be dropped: the archive must hold the same bytes. Otherwise the hot
        data is copied once more, and read back again.
        """
        if not self._unverified:
            return False
        chunk = next(bounded(self._unverified, lambda index: index.bytes, _VERIFY_BYTES))
        entries = {index.id: self._table.manifest[_only(index)][index.id] for index in chunk}
        sources = {index.id: _only(index) for index in chunk}
        damaged: list[ArchiveDamage] = []
        async with aclosing(self._context.archive.read(entries.copy(), sources)) as reading:
            async for found in reading:
                del entries[found.segment]
                if isinstance(found, ArchiveDamage):
                    damaged.append(found)
        if entries:
            raise AssertionError("the archive ended before its last entry")
        del self._unverified[: len(chunk)]
        again = {index.id: index for index in chunk}
        for one in damaged:
            self._copy_again(again[one.segment], one)
        return True

    def _copy_again(self, index: SegmentIndex, damage: ArchiveDamage) -> None:
        source = _only(index)
        if source in self.failed:
            return
        self._copies[index.id] += 1
        if self._copies[index.id] > _COPIES_AGAIN:
            self._fail(source, damage)
            return
        # the worker's log drops what repeats a format string
        log.warning(f"{damage}: the hot data is copied to the archive once more")
        if not self.late:
            version, _ = self._versions[source]
            self._told_of.append(trouble(Phase.MENDED, source, version, damage))
        self._uncopied = [*(self._uncopied or ()), index]
        self._unverified.append(index)

    def _fail(self, source: str, damage: ArchiveDamage) -> None:
        """Leave a source alone: its data stays hot, and what is in the archive stays there."""
        log.error(f"{damage}: {source} cannot expire now")
        self.failed.add(source)
        version, _ = self._versions.pop(source)
        if not self.late:
            # it was told as mended before it was read back
            self._told_of = [one for one in self._told_of if one["segment"] != damage.segment] + [
                trouble(Phase.DELAYED, source, version, damage)
            ]
        own = {index.id for index in self._segments().pop(source)}
        self._undropped.remove(source)
        self._uncopied = [index for index in self._uncopied or () if index.id not in own]
        self._unverified = [index for index in self._unverified if index.id not in own]

    async def _report(self) -> bool:
        """Reports the damage that was met, once the copies have been read back."""
        if not self._told_of:
            return False
        told, self._told_of = self._told_of, []
        await self._context.store.commit(Step(records=self._context.reports(told)))
        return True

    async def _drop(self) -> bool:
        """Drops exactly the verified segments, and reports this in the same step."""
        if not self._undropped:
            return False
        await self._safety.check()
        puts: list[Put] = []
        done: list[str] = []
        dropped: set[str] = set()
        while self._undropped and len(puts) < _PUTS_PER_STEP:
            source = self._undropped[-1]
            own = self._segments()[source]
            room = max(1, (_PUTS_PER_STEP - len(puts)) // 2)
            puts += compaction_plan.remove(own[:room])
            dropped.update(index.id for index in own[:room])
            del own[:room]
            if not own:
                done.append(self._undropped.pop())
        step = Step(puts=puts)
        if not self.late:
            step.puts += [
                (keys.applied(source), Applied(self._versions[source][0], State.EXPIRING).to_json())
                for source in done
            ]
            step.records_at_commit = partial(self._done, done, dropped)
        if step.puts:
            await self._context.store.commit(step)
        return True

    def _done(self, sources: Sequence[str], dropped: Set[str]) -> list[Record]:
        """Reports that these have expired. Rows may have come in the step before, which did not
        know that their source expires: only this report tells of them.
        """
        table = self._table
        recent = table.deltas.rows_of(sources)
        reported = []
        for source in sources:
            kept = set(table.by_source.get(source, ())) - dropped
            late = sum(table.segments[one].sources[source] for one in kept) + recent.get(source, 0)
            reported.append(expired(table, source, self._versions[source][0], late))
        return self._context.reports(reported)

    def _segments(self) -> dict[str, list[SegmentIndex]]:
        if self._own is None:
            raise AssertionError("the segments are chosen before they are moved")
        return self._own


def _weight(put: Put) -> int:
    return len(put[0]) + len(put[1] or b"")


def _only(index: SegmentIndex) -> str:
    (source,) = index.sources
    return source

"""The whole verification."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.verify.absence import Absence
from agents.verify.checks.changelog import check_changelog
from agents.verify.checks.coordinator import check_coordinator
from agents.verify.checks.cursors import check_cursor
from agents.verify.checks.hot import check_hot
from agents.verify.checks.lifecycle import LifecycleCheck
from agents.verify.checks.manifest import ManifestCheck
from agents.verify.checks.topics import check_topics
from agents.verify.checks.totals import TotalsCheck
from agents.verify.drill import Drill
from agents.verify.index_reader import LocalIndex
from agents.verify.lifecycle_reader import (
    LifecycleReader,
    Snapshot,
    read_coordinator,
    read_events,
)
from agents.verify.report import VerifyReport
from agents.verify.shards import PinnedImage, ShardReader
from agents.verify.store_reader import LocalStore
from agents.verify.topic_comparison import TopicComparison
from schemas.records.lifecycle import VISIBLE, State
from streams.kafka.environment import Environment
from streams.kafka.log import Partition
from streams.kafka.topic_specs import Topics

__all__ = ["DEFAULT_OPTIONS", "VerifyOptions", "VerifyProgress", "verify"]

#: A shard is read again if the archive that its manifest names was moved meanwhile.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What is done besides. `against_topics`: compare rows with the events that topics still have.
    `drill`: restore so many sampled sources into scratch.
    """

    against_topics: bool = False
    drill: int = 0


DEFAULT_OPTIONS = VerifyOptions()


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """Offsets read, of about so many."""

    done: int
    total: int


async def verify(
    environment: Environment,
    options: VerifyOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[VerifyProgress], None] = lambda _: None,
) -> VerifyReport:
    """Compare what the topics of a deployment hold. Changes nothing.

    Raises `Recoverable` if no broker answers or a topic of the lifecycle cannot be read, `Fatal` if
    a topic does not exist.
    """
    began = environment.clock.monotonic_s()
    verification = _Verification(environment, progress)
    if await verification.topics_are_there():
        async with LifecycleReader(environment) as lifecycle:
            with TemporaryDirectory(prefix="emberline-verify-") as folder:
                await verification.with_options(options, Path(folder), lifecycle)
    verification.report.seconds = environment.clock.monotonic_s() - began
    return verification.report


class _Verification:
    """One run."""

    def __init__(
        self, environment: Environment, progress: Callable[[VerifyProgress], None]
    ) -> None:
        self.report = VerifyReport()
        self._environment = environment
        self._settings = environment.settings
        self._admin = environment.kafka.admin
        self._topics = Topics(environment.settings.prefix)
        self._progress = progress
        self._done = self._total = 0
        self._totals = TotalsCheck(self._topics)
        self._unread = False
        self._absence = Absence(environment, self.report, self._passed)
        self._rows: TopicComparison | None = None
        self._drill: Drill | None = None

    async def with_options(
        self, options: VerifyOptions, folder: Path, lifecycle: LifecycleReader
    ) -> None:
        """All checks, and what the options ask for; `folder` is for scratch files."""
        rows: TopicComparison | None = None
        if options.against_topics:
            (folder / "rows").mkdir()
            self._rows = rows = TopicComparison(self._environment, folder / "rows", self.report)
            await rows.prepare()
            self._total += rows.events
        if options.drill:
            (folder / "drill").mkdir()
            await lifecycle.advance()
            expired = [one.source for one in lifecycle.view.in_states([State.EXPIRED])]
            sampled = self._environment.random.sample(expired, min(len(expired), options.drill))
            self._drill = Drill(
                self._environment, frozenset(sampled), folder / "drill", self.report
            )
        await self.run(lifecycle)
        if self._unread and rows is not None:
            self.report.unchecked.append("rows of events, as a shard could not be read")
        elif rows is not None:
            await rows.compare(self._passed)
        if self._drill is not None:
            await self._drill.run()

    async def run(self, lifecycle: LifecycleReader) -> None:
        """All checks, in the order in which the moments have to follow each other."""
        topics, report = self._topics, self.report
        await self._count()
        await self._absence.begin()
        first = await lifecycle.advance()
        # after the states, so that no expiry lacks its event; before the shards, whose entries are
        # older than the event that counts them
        expired, findings, since = await read_events(self._environment, topics.expired, "expired")
        report.add(findings)
        restored, findings, _ = await read_events(self._environment, topics.restored, "restored")
        report.add(findings)
        reader = ShardReader(self._environment, report, self._passed)
        for shard in range(self._settings.partitions):
            await self._shard(shard, reader, lifecycle)
        before = await lifecycle.advance()
        kept, findings = await read_coordinator(self._environment)
        report.add(findings)
        last = await lifecycle.advance()
        report.add(
            check_coordinator(topics, kept, lifecycle.view, _same(before, last), lifecycle.damaged)
        )
        report.add(lifecycle.findings())
        await self._absence.run()
        if not self._unread:
            # the view is that of the last look: a source that moved before it is not compared
            stable = _same(first, last)
            records = [one for one in lifecycle.view if one.source in stable]
            report.add(self._totals.expired(expired))
            report.add(self._totals.restored(restored))
            report.add(self._totals.states(records, lifecycle.offsets))
            report.add(self._totals.announced(records, expired, since))
        else:
            report.unchecked.append("totals of sources, as a shard could not be read")
        report.figures.update(sources=len(lifecycle.view), events=len(expired) + len(restored))

    async def topics_are_there(self) -> bool:
        """Compare the topics with their specification; whether all can be read."""
        problems, _ = await self._admin.inspect()
        self.report.add(check_topics(problems))
        missing = [one.topic for one in problems if one.setting == "topic"]
        few = [
            one.topic
            for one in problems
            if one.setting == "partitions" and int(one.found) < int(one.expected)
        ]
        if missing or few:
            self.report.unchecked.append(
                f"what topics hold, as {', '.join([*missing, *few])} cannot be read as it should be"
            )
        return not missing and not few

    async def _shard(self, shard: int, reader: ShardReader, lifecycle: LifecycleReader) -> None:
        for left in range(_TRIES)[::-1]:
            inputs = self._inputs(shard)
            before = await self._admin.bounds(inputs)
            snapshots: list[Snapshot] = []

            async def moment(snapshots: list[Snapshot] = snapshots) -> None:
                snapshots.append(await lifecycle.advance())

            rows = self._rows
            store = LocalStore(self._environment, shard, self.report)
            index = LocalIndex(self._environment, shard, self.report)
            try:
                await store.open()
                await index.open()
                pinned = await reader.pin(
                    shard, moment, store.position, None if rows is None else rows.held.put
                )
                if pinned is None:
                    self._unread = True
                    return
                findings = await store.compare(pinned)
                stable = _same(snapshots[0], await lifecycle.advance())
                visible = {one.source for one in lifecycle.view.in_states(VISIBLE)}
                findings += await index.compare(pinned, visible.intersection(stable))
            finally:
                await store.close()
                await index.close()
            after = await self._admin.bounds(inputs)
            if rows is not None:
                await rows.pour(pinned.image)
            archive = await reader.compare_archive(pinned, None if rows is None else rows.held.add)
            if archive.overtaken and left:
                continue
            topic, image = self._topics.changelog, pinned.image
            ids = await self._admin.topic_ids(sorted(topic for topic, _ in inputs))
            findings += check_changelog(topic, image)
            findings += check_hot(topic, image)
            check = LifecycleCheck(self._topics, lifecycle.view, lifecycle.damaged)
            findings += check.check(image, stable)
            starts = {name: start for (name, _), (start, _) in before.items()}
            ends = {name: end for (name, _), (_, end) in after.items()}
            findings += check_cursor(image, starts, ends, ids)
            self.report.add([*findings, *archive.findings])
            self._totals.add(image)
            self._absence.take(image)
            if self._drill is not None:
                self._drill.take(pinned)
            self._figures(pinned, archive.check)
            return

    def _figures(self, pinned: PinnedImage, archive: ManifestCheck) -> None:
        image = pinned.image
        self.report.figures.update(
            shards=1,
            entries=len(image.values),
            hot_segments=len(image.segments),
            hot_rows=sum(facts.rows for facts in image.segments.values()),
            foreign_records=image.foreign,
            manifest_entries=len(image.manifest),
            archived_segments=archive.records,
            archived_rows=archive.rows,
            archived_bytes=archive.bytes,
            dead_copies=archive.dead_copies,
            dead_bytes=archive.dead_bytes,
            aborted_records=archive.aborted,
        )

    def _inputs(self, shard: int) -> list[Partition]:
        topics = self._topics
        names = (*topics.events.values(), topics.users, topics.repartition)
        return [(name, shard) for name in names]

    async def _count(self) -> None:
        shards = range(self._settings.partitions)
        logs = [(t, n) for t in (self._topics.changelog, self._topics.archive) for n in shards]
        spans = await self._admin.bounds(logs)
        self._total += sum(end - start for start, end in spans.values())

    def _passed(self, offsets: int) -> None:
        self._done += offsets
        self._progress(VerifyProgress(self._done, max(self._done, self._total)))


def _same(one: Snapshot, other: Snapshot) -> Collection[str]:
    """The sources that are the same in both."""
    return [source for source, version in one.items() if other.get(source) == version]

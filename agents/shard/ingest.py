"""The ingest of one shard: four concurrent stages, which are fetch, decode, lay out, commit.

While one step commits, the next batches are decoded and laid out in threads, and the batches after
them are fetched. Fetched batches go through the ingest agent of the Faust app (`deliver`), which
returns them by `offer`.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from agents.resources.budget import Budget
from agents.shard.awaiting import Awaiting
from agents.shard.held_back import HeldBackAge
from agents.shard.ingest_step import StepMaker
from agents.shard.intake import Intake, LaidOutPart
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.loop import WorkLoop
from schemas.decode.batch import SealedBatch
from schemas.errors import Recoverable
from streams.ending import together
from streams.kafka.log import LogReader, LostRange, Partition, ReaderOptions, Record
from streams.kafka.remote_registry import registry_of
from streams.kafka.topics import Topics
from streams.metrics import names
from streams.period import milliseconds
from streams.state.changelog import tombstones_ms
from streams.state.store import MaskChanged, Step

__all__ = ["FetchedBatches", "IngestLoop", "catching_up"]

log = logging.getLogger(__name__)

_STAGE = 2
_LOAD_RECORDS = 10_000
#: Positions that moved without a record (transaction markers) are committed this often.
_IDLE_CURSOR_S = 30.0
#: Announcements of sources wait for a pause, but no longer than this while ingest catches up.
_ANNOUNCE_S = 10.0
_PAUSE_S = 0.2
#: Far below half of the time for which the changelog keeps tombstones.
_QUIET_S = 3_600.0
_DAY_MS = 86_400_000
#: No topic that `emberline topics check` passes keeps tombstones for less.
_SHORT_REST_MS = _DAY_MS


def catching_up(
    came: int, lag: Mapping[Partition, int], held_back: Mapping[Partition, int]
) -> bool:
    """Whether a fetch of `came` records is part of a load: with it, 10,000 records or more can be
    read now.

    Not their bytes: they are compressed, and the first fetches are small, however much waits.
    """
    return came + sum(lag.values()) - sum(held_back.values()) >= _LOAD_RECORDS


@dataclass(frozen=True, slots=True)
class FetchedBatches:
    """The batches of one fetch for a shard: whole record batches, in offset order by partition.

    They stay as in the log until they are decoded, one bounded part at a time, because they may
    decompress to much more.
    """

    batches: Sequence[SealedBatch]


class IngestLoop:
    """One shard's ingest, starting at its cursor."""

    def __init__(
        self,
        context: ShardContext,
        budget: Budget,
        work: WorkLoop,
        deliver: Callable[[FetchedBatches], Awaitable[None]],
    ) -> None:
        self._context = context
        self._budget = budget
        self._work = work
        self._deliver = deliver
        self._topics = Topics(context.settings.prefix)
        self._inbox: asyncio.Queue[FetchedBatches] = asyncio.Queue()
        self._laid: asyncio.Queue[asyncio.Future[LaidOutPart]] = asyncio.Queue(_STAGE)
        self._under_way = asyncio.Semaphore(_STAGE)
        self._intake = Intake(context)
        self._steps = StepMaker(context)
        what = f"ingest of shard {context.partition}"
        self._awaiting = Awaiting(what, registry_of(context.settings))
        #: Where the fetches end that are not committed whole, oldest first; and up to where all
        #: is folded: past transaction markers too, where the cursor stands before them.
        self._unfolded: deque[dict[Partition, int]] = deque()
        self._folded: dict[Partition, int] = {}
        self._reader: LogReader | None = None
        self._ended = ""
        #: The time of the newest record of each fetch in `_unfolded`.
        self._times: deque[int] = deque()
        self.folded_ms: int | None = None
        self.held_back_age = HeldBackAge(context.clock)
        self.events = 0
        self.forwarded = 0
        self.rejected = 0

    async def start(self) -> None:
        """Checks that every input still holds the next offset to read, and starts at the cursor.

        Raises `LostRange` or `Recoverable`.
        """
        context = self._context
        topics = self._topics
        inputs = [*topics.events.values(), topics.users, topics.repartition]
        admin = context.kafka.admin
        logs = await admin.bounds([(topic, context.partition) for topic in inputs])
        ids = await admin.topic_ids(inputs)
        table = context.store.table
        cursor = table.cursor
        for (topic, partition), (begin, end) in logs.items():
            position = cursor.get(topic, begin)
            # a new log may be longer than the old one was, and its first records pass unread
            known = table.cursor_ids.get(topic), ids.get(topic)
            anew = position > 0 and None not in known and known[0] != known[1]
            if anew or not begin <= position <= end:
                raise LostRange((topic, partition), position, log=(begin, end), made_anew=anew)
        positions = {key: cursor.get(key[0], begin) for key, (begin, _) in logs.items()}
        if topics.users in cursor:
            await self._tell_rest(context.store.table.rested_ms)
        self._reader = context.kafka.reader(
            positions,
            ReaderOptions(
                ids=ids if ids.keys() == set(inputs) else None,
                ends={key: end for key, (_, end) in logs.items()},
                bytes_per_fetch=self._budget.fetch_bytes,
                prefetch=True,
                linger_ms=round(milliseconds(context.settings.linger)),
                name=f"shard-{context.partition}",
            ),
        )
        await self._reader.start()
        self._folded = positions
        await asyncio.to_thread(self._intake.recall)
        self._steps.recall()
        if not cursor or table.cursor_ids != ids:
            first = {topic: offset for (topic, _), offset in positions.items()}
            table.cursor_ids = ids
            await context.store.commit(Step(puts=[table.cursor_put(first)]))

    async def _tell_rest(self, rested_ms: int) -> None:
        """Warns if deletions of users may have been lost, because the shard was not running for too
        long.
        """
        topic, partition = self._topics.users, self._context.partition
        if rested_ms < _SHORT_REST_MS:
            return
        kept_ms = await tombstones_ms(self._context.kafka, topic)
        if rested_ms > kept_ms:
            log.warning(
                "shard %d was not running for %.1f days, and %s keeps deletions for %.1f days "
                "(delete.retention.ms): write the deletions of users of that time again",
                *(partition, rested_ms / _DAY_MS, topic, kept_ms / _DAY_MS),
            )

    async def close(self) -> None:
        """Closes the connections of the reader."""
        if self._reader is not None:
            await self._reader.close()

    async def run(self) -> None:
        """Ingests until cancelled. Raises `LostRange`, `Fenced`, `StepFailed`.

        If a topic was created again, it stops fetching, because a person has to act. Folded rows
        are still answered, the lag is unknown, and `waits_for` says why. Raises `Recoverable` if
        nothing of the former topic was read: then the new one is read from its beginning.
        """
        await together(self._fetch_on(), self._decode(), self._commit())

    def offer(self, fetched: FetchedBatches) -> None:
        """Takes fetched batches back from the agent; `_fetch` limits their number."""
        self._inbox.put_nowait(fetched)

    @property
    def queued(self) -> int:
        """Fetches that are not committed as a whole yet."""
        return len(self._unfolded)

    @property
    def waits_for(self) -> str:
        """What ingest waits for; empty if there is nothing."""
        return self._ended or self._awaiting.reason

    def lag(self) -> dict[str, int]:
        """Offsets still to fold, by topic, as of the last answers of the broker.

        0 only if every acknowledged record is folded, also behind an open transaction; at least 1
        if no broker answers for the topic.
        """
        if self._reader is None:
            return {}
        cursor = self._context.store.table.cursor
        folded = {key: max(at, cursor.get(key[0], at)) for key, at in self._folded.items()}
        return {topic: lag for (topic, _), lag in self._reader.lag(folded).items()}

    def held_back(self) -> dict[str, int]:
        """The part of the lag that lies behind an open transaction of a producer, by topic."""
        if self._reader is None:
            return {}
        return {topic: count for (topic, _), count in self._reader.held_back().items()}

    async def _fetch_on(self) -> None:
        try:
            await self._fetch()
        except LostRange as error:
            if not error.made_anew:
                raise
            if not error.position:
                # Nothing of the former topic was read: a new start takes the new topic's id.
                what = f"{error.partition[0]} was created again before it was read"
                raise Recoverable(what) from error
            self._ended = str(error)
            log.error(f"shard {self._context.partition} cannot take in events: {error}")

    async def _fetch(self) -> None:
        if self._reader is None:
            raise RuntimeError("IngestLoop.run before IngestLoop.start")
        few = False
        while True:
            await self._under_way.acquire()
            await self._work.room.wait()
            if few:
                await self._budget.scheduler.gather()
            batches = await self._reader.fetch_sealed()
            positions, held_back = self._reader.positions(), self._reader.held_back()
            self.held_back_age.note(held_back, positions)
            if batches:
                came = sum(batch.count for batch in batches)
                few = not catching_up(came, self._reader.lag(positions), held_back)
                self._budget.scheduler.events_came(load=not few)
                self._unfolded.append(positions)
                self._times.append(max(batch.max_timestamp for batch in batches))
                await self._deliver(FetchedBatches(batches))
            else:
                few = False
                self._under_way.release()
                if self._unfolded:
                    self._unfolded[-1] = positions
                else:
                    self._folded = positions

    async def _decode(self) -> None:
        loop = asyncio.get_running_loop()
        intake, budget = self._intake, self._budget
        while True:
            fetched = await self._inbox.get()
            parts = intake.parts(fetched.batches)
            while parts.left:
                decoded = await self._awaiting.read(
                    partial(loop.run_in_executor, budget.decoders, intake.decode_next, parts),
                    partial(loop.run_in_executor, budget.decoders, parts.schema_ids),
                )
                direct = budget.direct_rows
                laying = loop.run_in_executor(budget.layers, intake.lay_out, decoded, direct)
                await self._laid.put(laying)
            self._under_way.release()

    async def _commit(self) -> None:
        while True:
            try:
                # the view may be read any moment: then there is something to tell
                waiting = _PAUSE_S if self._steps.unreported else _IDLE_CURSOR_S
                async with asyncio.timeout(waiting):
                    laying = [await self._laid.get()]
            except TimeoutError:
                await self._commit_rest()
                continue
            while not self._laid.empty() and len(laying) < _STAGE:
                laying.append(self._laid.get_nowait())
            group = await asyncio.gather(*laying)
            scheduler = self._budget.scheduler
            # what waits here was fetched a while ago
            scheduler.events_came(load=any(laid.puts for laid in group))
            for some in _steps(group):
                await self._commit_parts(some)
            self._work.check_room()
            if self._work.flush_due:
                self._work.wake()

    async def _commit_parts(
        self, group: Sequence[LaidOutPart], records: Sequence[Record] = ()
    ) -> None:
        """Commits parts as one step, with records; lays them out again while users are erased
        meanwhile.
        """
        began = self._context.clock.monotonic_s()
        step = self._steps.step(group)
        step.records += records
        if self._announces and self._budget.scheduler.keeping_up(_ANNOUNCE_S):
            step.records += self._steps.announcements()
        while True:
            try:
                await self._context.store.commit(step)
                break
            except MaskChanged:
                group = [await self._laid_again(laid) for laid in group]
                first, *others = _steps(group)
                if others:
                    await self._commit_parts(first, step.records)
                    for some in others:
                        await self._commit_parts(some)
                    return
                # what is reported is reported once
                step = replace(self._steps.step(group), records=step.records)
        meters = self._context.environment.meters
        meters.observe(names.STEP_TIME, self._context.clock.monotonic_s() - began, "ingest")
        for decoded in (laid.decoded for laid in group):
            if decoded.last:
                self._folded = self._unfolded.popleft()
                self.folded_ms = self._times.popleft()
            self.events += decoded.ingested.events
            for taken in (decoded.ingested, decoded.users):
                self.rejected += len(taken.rejects)
                for code, count in Counter(one.code for one in taken.rejects).items():
                    meters.count(names.REJECTS, code, by=count)
                self.forwarded += sum(len(to.records) for to in taken.forwards)

    async def _laid_again(self, laid: LaidOutPart) -> LaidOutPart:
        return await asyncio.get_running_loop().run_in_executor(
            self._budget.layers, self._intake.lay_out, laid.decoded, laid.direct_rows
        )

    @property
    def _announces(self) -> bool:
        """Whether there are unreported sources, and the view has been read, which knows the
        reported ones.
        """
        return self._steps.unreported and self._context.view.caught_up.is_set()

    async def _commit_rest(self) -> None:
        """During a pause: report new sources, and commit positions that moved past transaction
        markers.
        """
        if self._announces and self._budget.scheduler.keeping_up(_ANNOUNCE_S):
            await self._context.store.commit(Step(records=self._steps.announcements()))
        if self._steps.unreported or self._unfolded:
            return
        positions = {topic: offset for (topic, _), offset in self._folded.items()}
        table = self._context.store.table
        # a state store's age counts from the last record: a quiet shard writes one now and then
        quiet_s = self._context.clock.monotonic_s() - self._context.store.written_at
        if positions != table.cursor or quiet_s > _QUIET_S:
            await self._context.store.commit(Step(puts=[table.cursor_put(positions)]))


def _steps(group: Sequence[LaidOutPart]) -> list[Sequence[LaidOutPart]]:
    """The parts of each step. After a user's return the parts behind it are masked by another
    mask: in the same step a later record of the user would be taken for the return.
    """
    alone = any(laid.returned for laid in group)
    return [[laid] for laid in group] if alone else [group]

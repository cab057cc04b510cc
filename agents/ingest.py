"""The ingest of one shard: fetch, decode and fold, commit, in three stages at once.

While one step commits, the next batches are decoded in a thread, and those after them are
fetched: group commit. Fetched batches pass through the ingest agent of the Faust app
(`deliver`), which hands them back by `offer`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from agents.budget import Budget
from agents.deltas import Part, parts
from agents.work.context import Context
from agents.work.loop import WorkLoop
from schemas.batch import RawBatch
from schemas.decode_check import Limits
from schemas.ingest import Ingested, ingest
from schemas.lifecycle import State
from schemas.profile import PROFILE
from schemas.repeats import Window
from schemas.users import TakenUsers, of_users, take_users
from streams import keys
from streams.fetch import Fetcher, LostRange, Partition
from streams.offsets import bounds
from streams.period import milliseconds
from streams.remote_registry import source_for
from streams.step import Record, RecordGroup
from streams.store import Put, Step, bounded
from streams.topics import Topics

__all__ = ["Fetched", "IngestLoop"]

_STAGE = 2
#: A fetch of so much means that events wait in the log.
_LOAD_BYTES = 2_000_000
_USERS_PER_STEP_BITS = 24
_LEAST_RECORD_BYTES = 128
_STEP_EVENTS_BYTES = 16_000_000
#: Positions that moved without a record (transaction markers) are committed this often.
_IDLE_CURSOR_S = 30.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought a shard: whole record batches, in offset order by partition."""

    batches: Sequence[RawBatch]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One bounded part of a step: its delta, encoded, and where its batches end.

    `sources` says how many rows each has, `last` that it is the last part of what one fetch
    brought.
    """

    ingested: Ingested
    users: TakenUsers
    parts: list[Part]
    sources: Mapping[str, int]
    cursor: Mapping[str, int]
    last: bool


class IngestLoop:
    """One shard's ingest, from its cursor on."""

    def __init__(
        self,
        context: Context,
        budget: Budget,
        work: WorkLoop,
        deliver: Callable[[Fetched], Awaitable[None]],
    ) -> None:
        self._context = context
        self._budget = budget
        self._work = work
        self._deliver = deliver
        self._topics = Topics(context.settings.prefix)
        self._inbox: asyncio.Queue[Fetched] = asyncio.Queue()
        self._decoded: asyncio.Queue[Decoded] = asyncio.Queue(_STAGE)
        self._under_way = asyncio.Semaphore(_STAGE)
        self._seen: set[str] = set()
        #: Sources on their way to the archive or there, as of that many changes of the view,
        #: and the version at which late rows of each were told.
        self._archived: tuple[int, set[str]] = (-1, set())
        self._late: dict[str, int] = {}
        self._schemas = source_for(context.settings.schema_registry_url)
        self._window = Window(context.settings.repeat_window)
        #: Fetches that are not committed whole, and the positions of a time without any.
        self._uncommitted = 0
        self._passed: dict[Partition, int] | None = None
        #: Above all those given before: a step holds far fewer users than the shift leaves.
        self._user_sequence = 0
        self._fetcher: Fetcher | None = None
        self.events = 0
        self.forwarded = 0
        self.rejected = 0

    async def start(self) -> None:
        """Checks that no input has lost what is to be read next, and goes to the cursor.

        Raises `LostRange` or `Recoverable`.
        """
        context = self._context
        topics = self._topics
        inputs = [*topics.events.values(), topics.users, topics.repartition]
        logs = await bounds(context.settings, [(topic, context.partition) for topic in inputs])
        cursor = context.store.table.cursor
        for (topic, partition), (begin, _) in logs.items():
            position = cursor.get(topic)
            if position is not None and position < begin:
                raise LostRange((topic, partition), position, start=begin)
        positions = {key: cursor.get(key[0], begin) for key, (begin, _) in logs.items()}
        self._fetcher = Fetcher(
            context.settings,
            positions,
            bytes_per_fetch=self._budget.fetch_bytes,
            prefetch=True,
            linger_ms=round(milliseconds(context.settings.linger)),
            name=f"shard-{context.partition}",
        )
        await self._fetcher.start()
        seen = context.store.table.window
        pieces = [seen[key] for key in sorted(seen)]
        self._window = await asyncio.to_thread(Window.of, self._window.limit, pieces)
        self._user_sequence = context.store.table.next_sequence << _USERS_PER_STEP_BITS
        if not cursor:
            first = {topic: offset for (topic, _), offset in positions.items()}
            await context.store.commit(Step(puts=[context.store.table.cursor_put(first)]))

    async def close(self) -> None:
        """Closes the connections of the fetcher."""
        if self._fetcher is not None:
            await self._fetcher.close()

    async def run(self) -> None:
        """Ingests until cancelled. Raises `LostRange`, `Fenced`, `StepFailed`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fetch())
            tasks.create_task(self._decode())
            tasks.create_task(self._commit())

    def offer(self, fetched: Fetched) -> None:
        """Takes a fetched batch back from the agent; `_fetch` bounds how many there are."""
        self._inbox.put_nowait(fetched)

    def lag(self) -> dict[str, int]:
        """Records to be read, by topic, as of the last answers of the broker."""
        if self._fetcher is None:
            return {}
        return {topic: lag for (topic, _), lag in self._fetcher.lag().items()}

    async def _fetch(self) -> None:
        if self._fetcher is None:
            raise RuntimeError("IngestLoop.run before IngestLoop.start")
        while True:
            await self._under_way.acquire()
            await self._work.room.wait()
            batches = await self._fetcher.fetch()
            if sum(len(batch.payload) for batch in batches) >= _LOAD_BYTES:
                self._work.note_load()
            if batches:
                self._uncommitted += 1
                self._passed = None
                await self._deliver(Fetched(batches))
            else:
                self._under_way.release()
                if not self._uncommitted:
                    self._passed = self._fetcher.positions()

    async def _decode(self) -> None:
        limit = min(self._context.settings.step_bytes, _STEP_EVENTS_BYTES)
        loop = asyncio.get_running_loop()
        while True:
            fetched = await self._inbox.get()
            groups = list(bounded(fetched.batches, _weight, limit))
            for group in groups:
                last = group is groups[-1]
                decoding = loop.run_in_executor(self._budget.decoders, self._work_out, group, last)
                await self._decoded.put(await decoding)
            self._under_way.release()

    def _work_out(self, batches: Sequence[RawBatch], last: bool) -> Decoded:
        context = self._context
        settings = context.settings
        limits = Limits(max_field_bytes=settings.max_field_bytes)
        users = take_users(
            [batch for batch in batches if of_users(batch)],
            context.partition,
            settings.partitions,
            self._user_sequence,
            limits,
            self._schemas,
        )
        self._user_sequence += users.rows.height
        ingested = ingest(
            [batch for batch in batches if not of_users(batch)],
            context.partition,
            settings.partitions,
            limits,
            self._schemas,
            self._window,
        )
        entries = parts(ingested, users, settings.segment_bytes)
        cursor: dict[str, int] = {}
        for batch in batches:
            cursor[batch.topic] = max(cursor.get(batch.topic, 0), batch.next_offset)
        rows = ingested.interactions["source"].value_counts()
        sources: dict[str, int] = dict(rows.rows())
        sources.pop(PROFILE, None)
        return Decoded(ingested, users, entries, sources, cursor, last)

    async def _commit(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_CURSOR_S):
                    group = [await self._decoded.get()]
            except TimeoutError:
                await self._commit_positions()
                continue
            while not self._decoded.empty() and len(group) < _STAGE:
                group.append(self._decoded.get_nowait())
            step = self._step(group)
            await self._context.store.commit(step)
            for decoded in group:
                self._uncommitted -= decoded.last
                self.events += decoded.ingested.events
                for taken in (decoded.ingested, decoded.users):
                    self.rejected += len(taken.rejects)
                    self.forwarded += sum(len(to.records) for to in taken.forwards)
            self._work.check_room()
            if self._context.store.table.delta_rows >= self._budget.delta_rows:
                self._work.wake()

    def _step(self, group: Sequence[Decoded]) -> Step:
        table = self._context.store.table
        frames: dict[bytes, pl.DataFrame] = {}
        step = Step(frames=frames)
        cursor = dict(table.cursor)
        sources: dict[str, int] = {}
        for part in (part for decoded in group for part in decoded.parts):
            key = keys.delta(table.next_sequence, len(step.puts), part.letter)
            step.puts.append((key, part.data))
            if part.frame is not None:
                frames[key] = part.frame
        for decoded in group:
            cursor |= decoded.cursor
            for source, rows in decoded.sources.items():
                sources[source] = sources.get(source, 0) + rows
            for taken in (decoded.ingested, decoded.users):
                step.groups += [*self._rejected(taken), *self._forwards(taken)]
        step.puts += self._forgotten()
        step.puts.append(table.cursor_put(cursor))
        step.records += self._news(sources)
        return step

    def _forgotten(self) -> list[Put]:
        """Deletes the oldest hashes of event ids that the window no longer needs."""
        window = self._context.store.table.window
        spare = sum(map(len, window.values())) - self._context.settings.repeat_window
        puts: list[Put] = []
        for key in sorted(window):
            spare -= len(window[key])
            if spare < 0:
                break
            puts.append((key, None))
        return puts

    def _news(self, rows: Mapping[str, int]) -> list[Record]:
        """Tells the coordinator, once, of sources that the lifecycle does not know, and, once
        for each expiry, of expired ones that have late rows: those can be restored, even where
        nothing of them was archived.
        """
        view = self._context.view
        if self._archived[0] != view.changes:
            there = view.in_states([State.EXPIRING, State.EXPIRED])
            self._archived = view.changes, {record.source for record in there}
        fresh = rows.keys() - self._seen
        self._seen |= fresh
        told = {source: 0 for source in fresh if view.get(source) is None}
        for source in rows.keys() & self._archived[1]:
            record = view.get(source)
            if record is not None and self._late.get(source) != record.version:
                told[source] = self._late[source] = record.version
        return self._context.reports(
            {"source": source, "version": told[source], "phase": "seen"}
            | {"interactions": rows[source]}
            for source in sorted(told)
        )

    def _forwards(self, taken: Ingested | TakenUsers) -> list[RecordGroup]:
        return [
            RecordGroup(
                self._topics.repartition,
                forward.partition,
                (("topic", forward.topic.encode()),),
                [(record.key, record.value, record.timestamp) for record in forward.records],
            )
            for forward in taken.forwards
        ]

    def _rejected(self, taken: Ingested | TakenUsers) -> list[RecordGroup]:
        """As a group: a topic of garbage makes more of them than can be sent one by one."""
        if not taken.rejects:
            return []
        now = self._context.clock.now_ms()
        return [
            RecordGroup(
                self._topics.rejected,
                self._context.partition,
                (),
                [(reject.key or b"", reject.value or b"", now) for reject in taken.rejects],
                [
                    tuple(
                        (name, str(value).encode())
                        for name, value in (
                            ("topic", reject.topic),
                            ("partition", reject.partition),
                            ("offset", reject.offset),
                            ("code", reject.code),
                            ("detail", reject.detail),
                        )
                    )
                    for reject in taken.rejects
                ],
            )
        ]

    async def _commit_positions(self) -> None:
        """Nothing came: remember positions that moved past transaction markers."""
        if self._passed is None:
            return
        positions = {topic: offset for (topic, _), offset in self._passed.items()}
        table = self._context.store.table
        if positions != table.cursor:
            await self._context.store.commit(Step(puts=[table.cursor_put(positions)]))


def _weight(batch: RawBatch) -> int:
    """Bytes of a batch; tiny records, each perhaps a reject, weigh more than they have."""
    return max(len(batch.payload), batch.count * _LEAST_RECORD_BYTES)

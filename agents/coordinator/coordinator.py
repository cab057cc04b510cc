"""The coordinator: the one actor that decides every source's lifecycle.

A thin shell around `agents.coordinator.rules`: it reads inputs, decides, commits all outputs in one
transaction, and only then continues from the new state. After any error or doubt it drops its
memory and begins again with a takeover.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agents.coordinator import log as log_topic
from agents.coordinator.decision_log import say
from agents.coordinator.decision_records import groups_of, written
from agents.coordinator.durations import durations
from agents.coordinator.foreign_states import foreign_states
from agents.coordinator.held import Held
from agents.coordinator.records import ActorOf, Awaited, Item, read, unproven
from agents.coordinator.rules.decide import decide
from agents.coordinator.rules.decision import Decision
from agents.coordinator.rules.inputs import (
    ArchiveFault,
    CatalogSnapshot,
    DefinitionRead,
    DefinitionUnreadable,
    Input,
    ReportRead,
    Tick,
)
from agents.coordinator.rules.outputs import state
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.recovery import recovered
from agents.coordinator.rules.retention_sweep import wait_ms
from agents.coordinator.rules.state import CoordinatorState
from agents.coordinator.sealing import sealed_inputs
from agents.coordinator.terms import Terms
from schemas.decode.batch_records import RecordBatch
from schemas.decode.reject import reject_batch
from schemas.decode.schema_ids import schema_ids
from schemas.records import codec
from schemas.records.lifecycle import SourceState
from schemas.records.undecodable import Undecodable
from streams.ending import end_all, to_the_end
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import own_key
from streams.kafka.log import (
    LogReader,
    LogWriter,
    LostRange,
    MayFence,
    ReaderOptions,
    Record,
    RecordGroup,
    at_once,
)
from streams.kafka.purge import Purge
from streams.kafka.remote_registry import RegistryUnreachable, learn, registry_of, source_for
from streams.kafka.topic_reader import read_each
from streams.kafka.topics import Topics
from streams.log_facts import step_id
from streams.metrics import names
from streams.state.store import bounded

__all__ = ["Coordinator"]

log = logging.getLogger(__name__)

_POLL_MS = 500
_ITEMS_PER_STEP = 2_000
_SKEW_EVERY_MS = 60_000
_STATES_BYTES = 4_000_000


@dataclass(slots=True)
class _Term:
    """One term: from a takeover to the first error or doubt."""

    writer: LogWriter
    state: CoordinatorState
    cursor: dict[str, int]
    #: The cursor as last committed: what lies below it is not needed again.
    committed: Mapping[str, int]
    #: Of which incarnation of its topic each offset of the cursor is.
    ids: Mapping[str, str]
    skew_ms: int | None = None
    measured_at: int = 0
    #: The next offset of `lifecycle.state`, which is read to detect records of other producers.
    watched: int = 0
    #: Batches that cannot be opened, for `rejected`: they go with the next step.
    rejects: list[Record] = field(default_factory=list)


class Coordinator:
    """Runs where the control partition is assigned.

    `running` is set while it leads: it has taken over and decides. `archive_fault` says how the
    archive's topic would lose what moves to it, None while that is not known. Each takeover waits
    for `may_fence`.
    """

    def __init__(
        self,
        environment: Environment,
        policy: Policy | None = None,
        *,
        actor_of: ActorOf = unproven,
        keyed: Callable[[], bool] = lambda: False,
        archive_fault: Callable[[], str | None] = lambda: None,
        may_fence: MayFence = at_once,
        items_per_step: int = _ITEMS_PER_STEP,
    ) -> None:
        self._environment = environment
        self._settings = settings = environment.settings
        self._kafka = environment.kafka
        self._clock = environment.clock
        self._policy = policy or Policy.of(settings)
        self._topics = Topics(settings.prefix)
        self._actor_of = actor_of
        self._keyed = keyed
        self._archive_fault = archive_fault
        self._may_fence = may_fence
        self._items_per_step = items_per_step
        self._own = (self._topics.coordinator, 0)
        self._schemas, self._remote = source_for(settings), registry_of(settings)
        #: Readers with a registry find no other schema under the ids that we write.
        self._marked = self._remote is not None
        self._inputs = (self._topics.catalog, self._topics.control, self._topics.shard_reports)
        self._meters = environment.meters
        self._terms = Terms("coordinator", self._last_owner, self._begins_again, environment.meters)
        self._state = CoordinatorState()
        self.running = asyncio.Event()

    @property
    def transactional_id(self) -> str:
        """The id that fences: the last process that initialised it is the coordinator."""
        return f"{self._settings.prefix}coordinator"

    @property
    def state(self) -> CoordinatorState:
        """The state after its last commit."""
        return self._state

    async def run(self) -> None:
        """Take over and decide until cancelled; recover from errors of the broker.

        Raises Fenced after another coordinator has taken over: the caller must start this one again
        only if the group assigns control here again. Raises Fatal if a person has to act.
        """
        await self._terms.run(self._term)

    async def _term(self) -> None:
        writer = self._kafka.writer(self.transactional_id)
        try:
            # no limit to all of it: a large catalog takes long, and each part ends when it stalls
            await self._may_fence()
            await writer.start()
            term = await self._take_over(writer)
            await self._compare_catalog(term)
            await self._tell_again(term)
            await self._decide(term)
        finally:
            self._leads(False)
            await writer.close()

    def _leads(self, leads: bool) -> None:
        (self.running.set if leads else self.running.clear)()
        self._meters.put(names.COORDINATOR, leads)

    async def _last_owner(self) -> str | None:
        start, end = (await self._kafka.admin.bounds([self._own]))[self._own]
        return await log_topic.last_owner(self._settings, self._kafka, start, end)

    def _begins_again(self, error: LostRange) -> bool:
        """Lost commands are for a person to know of, as is a range lost of a topic that is still
        the same.
        """
        return error.made_anew and error.partition[0] != self._topics.control

    async def _take_over(self, writer: LogWriter) -> _Term:
        own = self._own
        start, _ = (await self._kafka.admin.bounds([own]))[own]
        owner = self._environment.new_id()
        at = self._clock.now_ms()
        await writer.commit([log_topic.owner_record(self._settings, owner)])
        self._terms.owner = owner
        found = await log_topic.read_back(self._settings, self._kafka, owner, start)
        current = await self._recovered(found.state, found.lost)
        self._state = current
        skew_ms = None if found.appended_at is None else found.appended_at - at
        return _Term(writer, current, dict(found.cursor), found.cursor, found.ids, skew_ms, at)

    async def _recovered(self, current: CoordinatorState, lost: frozenset[str]) -> CoordinatorState:
        """The state, completed from `lifecycle.state` for sources whose own records have been
        overwritten.
        """
        if not lost:
            return current
        shown: dict[str, SourceState] = {}
        async for _, _, record in read_each(self._kafka, self._topics.state):
            with suppress(Undecodable):
                state = SourceState.from_record(codec.decode(record.value or b"", "state"))
                if state.source in lost and record.key == state.source.encode():
                    shown[state.source] = state
        log.warning("coordinator: %d sources are known by %s", len(lost), self._topics.state)
        now = self._clock.now_ms()
        again = {name: recovered(state, now, self._policy) for name, state in shown.items()}
        return replace(current, sources={**current.sources, **again})

    async def _compare_catalog(self, term: _Term) -> None:
        """Read the whole catalog once: a known definition that it does not hold was deleted.

        Of records that were processed before, only the last record of each key counts, and usually
        it changes nothing. The topic keeps history until it is compacted; reading an old record
        again must not make a source active that stopped long ago, and so restore its data.
        """
        topic = self._topics.catalog
        partitions = [(name, 0) for name in self._inputs]
        limits = await self._kafka.admin.bounds(partitions)
        ids = await self._kafka.admin.topic_ids(self._inputs)
        for name in self._inputs:
            first, last = limits[name, 0]
            at = term.cursor.get(name, first)
            known_ids = term.ids.get(name), ids.get(name)
            anew = at > 0 and None not in known_ids and known_ids[0] != known_ids[1]
            # Elsewhere a position outside the log, or one of a former topic, is a lost range: a
            # person has to know of lost commands.
            if anew and name == self._topics.control:
                raise LostRange((name, 0), at, log=limits[name, 0], made_anew=True)
            # The catalog is read whole anyway, what is missed of reports is reported again, and
            # below 0 is no position at all.
            if at < 0 or anew or (name == topic and not first <= at <= last):
                log.warning("coordinator: %s is read from its beginning", name)
                term.cursor.pop(name)
            term.cursor.setdefault(name, first)
        term.ids = ids
        start, end = limits[topic, 0]
        known = term.cursor[topic]
        keys: set[str] = set()
        all_read = True
        former: dict[str, Item] = {}
        fresh: list[Item] = []

        def unreadable(batch: RecordBatch, code: str, detail: str) -> None:
            nonlocal all_read
            # its keys are unknown, so a missing key does not mean a deletion
            all_read = False
            if batch.next_offset > known:
                term.rejects.append(self._rejected(batch, code, detail))

        reader = self._kafka.reader(
            {(topic, 0): start},
            ReaderOptions(
                ids=ids if topic in ids else None,
                unreadable=unreadable,
                name="coordinator-catalog",
            ),
        )
        await reader.start()
        try:
            stop: int | None = None
            while stop is None and reader.position((topic, 0)) < end:
                items, stop = await self._read_or_ask(await reader.progress(), start)
                for item in items:
                    _note_key(keys, item)
                    # of a batch that cannot be read the keys are not known: none was deleted
                    all_read = all_read and item.meaning is not None
                    if item.next_offset > known:
                        fresh.append(item)
                    elif isinstance(item.meaning, DefinitionRead | DefinitionUnreadable):
                        # what it was rejected for has been written before
                        meaning = item.meaning
                        if isinstance(meaning, DefinitionRead):
                            meaning = replace(meaning, again=True)
                        former[meaning.key] = Item(item.topic, known, meaning)
            await self._take_in(term, [*former.values(), *fresh])
            if stop is None:
                term.cursor[topic] = reader.position((topic, 0))
            else:
                term.cursor[topic] = max(known, stop)
                all_read = False
        finally:
            await to_the_end(reader.close())
        if not all_read:
            keys.update(term.state.catalog, term.state.quarantined)
        await self._step(term, [], extra=CatalogSnapshot(frozenset(keys)))

    async def _read_or_ask(
        self, batches: Sequence[RecordBatch], start: int
    ) -> tuple[list[Item], int | None]:
        """The catalog's records from `start` on. If the registry, which is asked for every needed
        schema, does not answer, also the offset at which they end.
        """
        topic, now = self._topics.catalog, self._clock.now_ms()
        while True:
            awaited: dict[str, Awaited] = {}
            items = read(
                self._topics, batches, {topic: start}, now, source=self._schemas, awaited=awaited
            )
            if topic not in awaited or self._remote is None:
                return items, None
            try:
                await learn(self._remote, {awaited[topic].schema_id} | schema_ids(batches))
            except RegistryUnreachable as error:
                log.warning("coordinator: definitions wait: %s", error)
                return items, awaited[topic].offset

    async def _tell_again(self, term: _Term) -> None:
        """Write again the states that their topic has lost, because the topic may have been
        deleted: a worker cannot know that a source is expired until the topic says so.
        """
        topic = self._topics.state
        term.watched = (await self._kafka.admin.bounds([(topic, 0)]))[topic, 0][1]
        told: dict[str, int] = {}
        async for _, _, record in read_each(self._kafka, topic):
            # What is deleted, or cannot be read, says nothing any more of what came before it.
            told.pop(own_key(record.key) or "", None)
            with suppress(Undecodable):
                found = SourceState.from_record(codec.decode(record.value or b"", "state"))
                told[found.source] = found.version
        outputs = [
            state(source)
            for name, source in term.state.sources.items()
            if told.get(name, -1) < source.version
        ]
        if not outputs:
            return
        log.warning(
            "coordinator: %d states are not in %s: they are published again", len(outputs), topic
        )
        now = self._clock.now_ms()
        records = [written(output, now, self._marked) for output in outputs]
        cursor = log_topic.cursor_record(self._settings, term.cursor, term.ids)
        for some in bounded(records, lambda record: len(record[1]), _STATES_BYTES):
            await term.writer.commit([cursor], groups=[RecordGroup(topic, 0, (), some)])

    async def _decide(self, term: _Term) -> None:
        positions = {(name, 0): term.cursor[name] for name in self._inputs}
        positions[self._topics.state, 0] = term.watched
        ids = {**await self._kafka.admin.topic_ids([self._topics.state]), **term.ids}
        reader = self._kafka.reader(
            positions,
            ReaderOptions(
                ids=ids if len(ids) == len(positions) else None,
                unreadable=lambda *what: term.rejects.append(self._rejected(*what)),
                name="coordinator",
            ),
        )
        await reader.start()
        reports = self._topics.shard_reports
        purge = Purge(self._kafka, (reports, 0), lambda: term.committed.get(reports))
        purging = asyncio.create_task(purge.run())
        held = Held(self._remote)
        self._leads(True)
        try:
            while True:
                wait = wait_ms(term.state, self._clock.now_ms(), self._policy)
                # nothing expires while a definition, which might say otherwise, waits
                waits = self._topics.catalog in held
                batches = await reader.fetch(_POLL_MS if waits else min(_POLL_MS, wait))
                awaited: dict[str, Awaited] = {}
                await self._take_in(term, self._read(term, held.again(batches), awaited))
                held.keep(held.again(batches), awaited)
                # past transaction markers too: a log may begin behind the last one
                ends = {name: reader.position((name, 0)) for name in self._inputs}
                term.cursor |= {name: end for name, end in ends.items() if name not in held}
                if term.rejects:
                    await self._step(term, [])
                for one in foreign_states(batches, self._topics.state, term.writer.producer_id):
                    await self._step(term, [], extra=one)
                fault = self._archive_fault()
                if fault is not None and fault != term.state.sweep.archive_fault:
                    await self._step(term, [], extra=ArchiveFault(fault))
                due = wait_ms(term.state, self._clock.now_ms(), self._policy) == 0
                if due and self._topics.catalog not in held:
                    await self._measure_skew(term)
                    await self._step(term, [], extra=Tick(term.skew_ms))
        finally:
            await to_the_end(_end(purging, reader, held))

    def _read(
        self, term: _Term, batches: Sequence[RecordBatch], awaited: dict[str, Awaited]
    ) -> list[Item]:
        now = self._clock.now_ms()
        return read(self._topics, batches, term.cursor, now, self._actor_of, self._schemas, awaited)

    def _rejected(self, batch: RecordBatch, code: str, detail: str) -> Record:
        """The reject of a batch that cannot be read."""
        made = reject_batch(batch, code, detail)
        return Record(self._topics.rejected, made.key, made.value, headers=made.headers)

    async def _measure_skew(self, term: _Term) -> None:
        """Compare the clocks, at most once a minute, by the broker's timestamp of a record that we
        append.
        """
        now = self._clock.now_ms()
        if abs(now - term.measured_at) < _SKEW_EVERY_MS:
            return
        offset = await self._step(term, [])
        appended_at = await log_topic.appended_at(self._settings, self._kafka, offset)
        term.skew_ms = None if appended_at is None else appended_at - now
        term.measured_at = now

    async def _take_in(self, term: _Term, items: Sequence[Item]) -> None:
        for some in bounded(items, _weight, self._items_per_step):
            await self._step(term, some)

    async def _step(self, term: _Term, items: Sequence[Item], *, extra: Input | None = None) -> int:
        """Decide and commit; the new state counts only after the transaction has committed.

        Returns the offset of the cursor's record.
        """
        inputs = [item.meaning for item in items if item.meaning is not None]
        if extra is not None:
            inputs.append(extra)
        cursor = term.cursor | {item.topic: item.next_offset for item in items}
        began, now = self._clock.monotonic_s(), self._clock.now_ms()
        decision, groups = await asyncio.to_thread(self._decided, term.state, inputs, now)
        records = [*term.rejects, *(item.reject for item in items if item.reject is not None)]
        for reject in records:
            code = dict(reject.headers).get("code", b"").decode()
            self._meters.count(names.REJECTS, code)
        records.append(log_topic.cursor_record(self._settings, cursor, term.ids))
        offsets = await term.writer.commit(records, groups=groups)
        term.rejects.clear()
        for metric, seconds in durations(term.state, decision, now):
            self._meters.observe(metric, seconds)
        self._meters.observe(names.COORDINATOR_TIME, self._clock.monotonic_s() - began)
        term.state = self._state = decision.state
        term.cursor, term.committed = cursor, dict(cursor)
        say(decision, step_id(*self._own, offsets[-1]))
        return offsets[-1]

    def _decided(
        self, current: CoordinatorState, inputs: Sequence[Input], now: int
    ) -> tuple[Decision, list[RecordGroup]]:
        """The decision and the records to write. Blocking."""
        inputs = sealed_inputs(inputs, self._settings)
        policy = replace(self._policy, keys=self._keyed())
        decision = decide(current, inputs, now, policy)
        return decision, groups_of(decision, self._topics, now, self._marked)


async def _end(purging: "asyncio.Task[None]", reader: LogReader, held: Held) -> None:
    await end_all([purging])
    await reader.close()
    await held.close()


def _weight(item: Item) -> int:
    """The weight of a report: it has up to a thousand sources, and may complete each of them."""
    return 1 + len(item.meaning.report.items) // 10 if isinstance(item.meaning, ReportRead) else 1


def _note_key(keys: set[str], item: Item) -> None:
    """Update the set of keys that the catalog holds; an unreadable record counts as present."""
    match item.meaning:
        case DefinitionRead(key=key, definition=None):
            keys.discard(key)
        case DefinitionRead(key=key) | DefinitionUnreadable(key=key):
            keys.add(key)

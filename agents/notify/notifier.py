"""The notifier: reads facts, keeps what is to be told, sends it.

A thin shell around `agents.notify.outbox`. One loop owns the outbox: it reads facts, notes the
results of attempts, and commits both, with the position of what was read, in one transaction.
Attempts run as tasks of their own, each with a deadline, so a server that does not answer delays
nobody. After any error or doubt the notifier drops its memory and begins again with a takeover.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from agents.coordinator.rules import ledger, outputs
from agents.coordinator.rules.state import Request, RequestResult, Source
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.coordinator.terms import Terms
from agents.notify import facts, outbox_log
from agents.notify.outbox import (
    Attempt,
    Channel,
    Delivery,
    DeliveryPolicy,
    DeliveryState,
    Notice,
    NoticeKind,
    Outbox,
    Result,
    identity,
)
from agents.notify.recipients import EmailOf, of_request, of_settings
from agents.views.request_view import RequestView
from agents.views.state_view import StateView
from schemas.decode.batch_records import KafkaRecord, RecordBatch
from schemas.records import codec
from schemas.records.lifecycle import CommandType, Outcome
from schemas.records.registry import own_id
from schemas.records.undecodable import Undecodable
from streams.ending import end_all, to_the_end
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import own_key, pass_over
from streams.kafka.log import LogReader, LogWriter, MayFence, ReaderOptions, Record, at_once
from streams.kafka.remote_registry import registry_of
from streams.kafka.stored_format import stored_records_of
from streams.kafka.topics import Topics
from streams.metrics import names

__all__ = ["Notifier", "NotifierParts", "Send"]

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Attempts at a time of all mail, and of each webhook."""
VIEW_S = 300.0
"""For this worker's copies of requests and states to be read."""
PART_S = 10.0
"""For the parts of the requests of one turn: what is not known by then is left out."""
FRESH_MS = 86_400_000
"""What a notifier that begins from a topic's beginning tells of is not older than this."""
_POLL_MS, _BUSY_POLL_MS = 500, 50
_MARK_EVERY_MS = 60_000
_FORGET_EVERY_MS = 600_000
_ORDERS = {NoticeKind.EXPIRING: "due_at", NoticeKind.STUCK: "since", NoticeKind.SWEEP: "id"}
"""The order of the facts in each digest."""


class Send(Protocol):
    """One attempt to deliver a notice, of limited time; raises nothing that a server causes."""

    def __call__(self, notice: Notice, delivery: Delivery, /) -> Awaitable[Attempt]:
        """The result."""
        ...


@dataclass(frozen=True, slots=True)
class NotifierParts:
    """What a notifier uses of its worker."""

    states: StateView
    requests: RequestView
    send: Send
    email_of: EmailOf = lambda name: ""
    policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)
    may_fence: MayFence = at_once


@dataclass(slots=True)
class _NotifierTerm:
    """One term: from a takeover to the first error or doubt."""

    writer: LogWriter
    outbox: Outbox
    reader: LogReader
    ids: dict[str, str]
    committed: dict[str, int]
    #: Topics that are read from their beginning, and the time before which nothing is told.
    told_from: dict[str, int]
    retries: list[str]
    answered: list[str] = field(default_factory=list)
    #: Until then, by the event loop's clock, this turn waits for parts of requests.
    parts_until: float = 0.0
    marked_at: int = 0
    forgot_at: int = 0
    sending: dict[str, "asyncio.Task[Attempt]"] = field(default_factory=dict)
    audits: list[Record] = field(default_factory=list)


class Notifier:
    """Runs where the control partition is assigned. `running` is set while it has taken over."""

    def __init__(self, environment: Environment, parts: NotifierParts) -> None:
        self._environment = environment
        self._settings = environment.settings
        self._kafka = environment.kafka
        self._clock = environment.clock
        self._parts = parts
        self._topics = Topics(environment.settings.prefix)
        self._own = self._topics.notifications
        self._inputs = (self._topics.coordinator, self._topics.expiring_soon)
        # a range that is lost is read from where the log begins
        self._meters = environment.meters
        for channel in Channel:  # rates need a value before the first event
            self._meters.count(names.NOTICES_FAILED, channel, by=0)
            for one in Result:
                self._meters.count(names.NOTICES, channel, one, by=0)
        self._terms = Terms("notifier", self._last_owner, lambda error: True, environment.meters)
        self.running = asyncio.Event()

    @property
    def transactional_id(self) -> str:
        """The id that fences: the last process that initialised it is the notifier."""
        return f"{self._settings.prefix}notifier"

    async def run(self) -> None:
        """Take over, read and send until cancelled; recover from errors of the broker.

        Raises Fenced after another notifier has taken over, and Fatal if a person has to act.
        """
        await self._terms.run(self._term)

    async def _last_owner(self) -> str | None:
        """The last owner; this one if the topic has none any more, because then nobody else wrote
        there.
        """
        own = (self._own, 0)
        start, end = (await self._kafka.admin.bounds([own]))[own]
        return await outbox_log.last_owner(self._kafka, self._own, start, end) or self._terms.owner

    async def _term(self) -> None:
        async with asyncio.timeout(VIEW_S) as limit:
            await self._parts.requests.caught_up.wait()
            await self._parts.states.caught_up.wait()
            limit.reschedule(None)
        writer = self._kafka.writer(self.transactional_id)
        term: _NotifierTerm | None = None
        try:
            await self._parts.may_fence()
            await writer.start()
            term = await self._take_over(writer)
            await term.reader.start()
            self.running.set()
            while True:
                await self._turn(term)
        finally:
            self.running.clear()
            self._meters.drop(names.NOTICES_PENDING)
            await to_the_end(self._end(writer, term))

    @staticmethod
    async def _end(writer: LogWriter, term: _NotifierTerm | None) -> None:
        if term is not None:
            await end_all(term.sending.values())
            await term.reader.close()
        await writer.close()

    async def _take_over(self, writer: LogWriter) -> _NotifierTerm:
        own = (self._own, 0)
        start, _ = (await self._kafka.admin.bounds([own]))[own]
        owner = self._environment.new_id()
        await writer.commit([outbox_log.record(self._own, outbox_log.OWNER, {"owner": owner})])
        self._terms.owner = owner
        outbox = Outbox(self._settings.prefix, self._parts.policy)
        found = await outbox_log.read_back(self._kafka, self._own, owner, start, outbox)
        limits = await self._kafka.admin.bounds([(name, 0) for name in self._inputs])
        ids = await self._kafka.admin.topic_ids(self._inputs)
        cursor: dict[str, int] = {}
        told_from: dict[str, int] = {}
        now = self._clock.now_ms()
        for name in self._inputs:
            first, last = limits[name, 0]
            at = found.cursor.get(name)
            if at is None or found.ids.get(name) != ids.get(name) or not first <= at <= last:
                cursor[name], told_from[name] = first, now - FRESH_MS
            else:
                cursor[name] = at
        positions = {(name, 0): at for name, at in cursor.items()}
        positions[self._own, 0] = found.offset + 1
        reader = self._kafka.reader(positions, ReaderOptions(name="notifier"))
        return _NotifierTerm(
            writer, outbox, reader, ids, cursor, told_from, list(found.retries), marked_at=now
        )

    async def _turn(self, term: _NotifierTerm) -> None:
        """Read, note results, commit, begin attempts: once."""
        outbox = term.outbox
        if outbox.full:
            # further facts stay in their topics until there is room
            await asyncio.sleep(_POLL_MS / 1000)
        else:
            batches = await term.reader.fetch(_BUSY_POLL_MS if term.sending else _POLL_MS)
            term.parts_until = asyncio.get_running_loop().time() + PART_S
            for batch in batches:
                await self._take_in(term, batch)
        now = self._clock.now_ms()
        self._note_results(term, now)
        self._retry(term, now)
        self._digests(outbox, now)
        if not 0 <= now - term.forgot_at < _FORGET_EVERY_MS:  # clocks are also set back
            term.forgot_at = now
            outbox.forget(now)
        await self._commit(term, now)
        for channel in Channel:
            self._meters.put(names.NOTICES_PENDING, outbox.pending[channel], channel)
        for delivery in outbox.due(now, term.sending, AT_ONCE):
            work = _attempt(self._parts.send, outbox.notices[delivery.notice], delivery)
            term.sending[delivery.id] = asyncio.create_task(work, name=f"notify {delivery.id}")

    async def _commit(self, term: _NotifierTerm, now: int) -> None:
        """Commit what has changed, with the position; the position alone once a minute."""
        at = {name: term.reader.position((name, 0)) for name in self._inputs}
        recent = 0 <= now - term.marked_at < _MARK_EVERY_MS
        due = not recent and at != term.committed
        if not (term.outbox.changed or term.answered or term.audits or due):
            return
        records = [outbox_log.cursor_record(self._own, at, term.ids), *term.audits]
        for key in term.answered:
            records.append(outbox_log.record(self._own, f"{outbox_log.RETRY}{key}", None))
        for (letter, key), value in term.outbox.changes().items():
            records.append(outbox_log.record(self._own, f"{letter}/{key}", value))
        await term.writer.commit(records)
        term.audits, term.answered = [], []
        term.committed, term.marked_at = at, now

    # Facts

    async def _take_in(self, term: _NotifierTerm, batch: RecordBatch) -> None:
        takes = {
            self._topics.coordinator: self._of_coordinator,
            self._topics.expiring_soon: self._of_expiring_soon,
            self._own: self._of_own,
        }
        for record in stored_records_of(batch):
            try:
                await takes[batch.topic](term, record)
            except (ledger.Unreadable, Undecodable, ValueError) as error:
                pass_over(batch.topic, batch.partition, record.offset, str(error))

    async def _of_coordinator(self, term: _NotifierTerm, record: KafkaRecord) -> None:
        request = facts.finished_request(record.key, record.value)
        if request is not None:
            await self._finished(term, request, record.offset)
        source = facts.source_facts(record.key, record.value, term.outbox.stuck)
        if source is not None:
            self._stuck(term.outbox, source)
        sweep = facts.sweep_question(record.key, record.value)
        if sweep is not None:
            self._sweep(term.outbox, sweep)

    async def _finished(self, term: _NotifierTerm, request: Request, offset: int) -> None:
        """Tell that a request is over, once its parts and the states of its sources are read."""
        told_from = term.told_from.get(self._topics.coordinator, 0)
        if request.whole is None or request.whole.time < told_from:
            return
        recipients = of_request(self._settings, request, self._parts.email_of)
        notice = term.outbox.notice(NoticeKind.REQUEST, request.request_id, request.time, {})
        if not recipients or notice.id in term.outbox.told:
            return
        requests, states = self._parts.requests, self._parts.states
        try:
            async with asyncio.timeout_at(term.parts_until):
                await requests.until_over(request.request_id, offset)
                if request.type == CommandType.RESTORE and not request.dry_run:
                    await self._until_visible(request.request_id)
        except TimeoutError:
            log.warning("notifier: request %.80s is told of in part", request.request_id)
        data = facts.request_data(request, requests, states)
        term.outbox.tell(replace(notice, data=data), recipients, self._clock.now_ms())

    async def _until_visible(self, request_id: str) -> None:
        """Wait until the states say that what was restored is available: they are another topic.

        What has expired again since is not waited for.
        """
        states = self._parts.states

        def awaited(name: str, result: RequestResult) -> bool:
            state = states.get(name)
            return state is None or (state.hidden and state.updated_at < result.time)

        done = [
            (name, one)
            for name, one in self._parts.requests.parts(request_id).items()
            if one.outcome is Outcome.COMPLETED and not one.already
        ][: facts.MOST_SOURCES]
        since = states.changes
        while any(awaited(name, one) for name, one in done):
            since = await states.changed(since)

    def _stuck(self, outbox: Outbox, source: Source) -> None:
        work = source.work
        if work is None or not work.stuck:
            outbox.note_stuck(source.source, None)
            outbox.drop(NoticeKind.STUCK, source.source)
        elif outbox.stuck.get(source.source) != source.version:
            outbox.note_stuck(source.source, source.version)
            now = self._clock.now_ms()
            self._collect(outbox, NoticeKind.STUCK, source.source, facts.stuck_item(source), now)

    def _sweep(self, outbox: Outbox, sweep: RetentionSweep) -> None:
        """The latest question counts; one that is answered is not told of."""
        kept = outbox.collected.get(NoticeKind.SWEEP, {})
        if sweep.question in kept or sweep.question == outbox.question:
            return
        outbox.drop(NoticeKind.SWEEP)
        outbox.note_question(sweep.question)
        if sweep.question:
            item = {"id": sweep.question, "total": sweep.awaiting, "source": ""}
            self._collect(outbox, NoticeKind.SWEEP, sweep.question, item, self._clock.now_ms())

    def _collect(
        self, outbox: Outbox, kind: NoticeKind, key: str, item: Mapping[str, Any], now: int
    ) -> None:
        """Keep a fact, if anybody is told of such."""
        if of_settings(self._settings):
            outbox.collect(kind, key, item, now)

    async def _of_expiring_soon(self, term: _NotifierTerm, record: KafkaRecord) -> None:
        event: dict[str, Any] = codec.decode(record.value or b"", "expiring_soon")
        if event["time"] < term.told_from.get(self._topics.expiring_soon, 0):
            return
        now = self._clock.now_ms()
        if event["due_at"] > now:
            item = facts.soon_item(event)
            self._collect(term.outbox, NoticeKind.EXPIRING, event["source"], item, now)

    async def _of_own(self, term: _NotifierTerm, record: KafkaRecord) -> None:
        """Only requests to try again come from elsewhere."""
        key = own_key(record.key) or ""
        if key.startswith(outbox_log.RETRY) and record.value is not None:
            term.retries.append(key.removeprefix(outbox_log.RETRY))

    def _retry(self, term: _NotifierTerm, now: int) -> None:
        outbox = term.outbox
        for asked in term.retries:
            keys = list(outbox.deliveries) if asked == outbox_log.ALL else [asked]
            for key in keys:
                outbox.retry(key, now)
            term.answered.append(asked)
        term.retries.clear()

    def _digests(self, outbox: Outbox, now: int) -> None:
        """Make the notices of collected facts that are due."""
        for kind, order in _ORDERS.items():
            found = outbox.digest(kind, now)
            if found is None:
                continue
            if kind is NoticeKind.EXPIRING:
                found = {name: one for name, one in found.items() if self._still_due(name, one)}
            if not found:
                continue
            data = facts.digest_data(found.values(), order)
            if kind is NoticeKind.SWEEP:
                data = dict(next(iter(found.values())))
            about = identity(*sorted(found))
            outbox.tell(outbox.notice(kind, about, now, data), of_settings(self._settings), now)

    def _still_due(self, source: str, item: Mapping[str, Any]) -> bool:
        """Whether a source still expires on the day that was announced."""
        record = self._parts.states.get(source)
        return record is None or (not record.hidden and record.due_at == item["due_at"])

    # Attempts

    def _note_results(self, term: _NotifierTerm, now: int) -> None:
        for key, task in list(term.sending.items()):
            if task.done():
                del term.sending[key]
                attempt = task.result()
                delivery = term.outbox.done(key, attempt, now)
                self._meters.count(names.NOTICES, delivery.channel, attempt.result)
                if delivery.state is DeliveryState.FAILED:
                    self._audit(term, delivery, now)
        for late in term.outbox.give_up(now, term.sending):
            self._audit(term, late, now)

    def _audit(self, term: _NotifierTerm, delivery: Delivery, now: int) -> None:
        self._meters.count(names.NOTICES_FAILED, delivery.channel)
        log.warning(
            "notifier: %s of %s failed: %s", delivery.channel, delivery.kind, delivery.error
        )
        notice = term.outbox.notices[delivery.notice]
        request_id = notice.data.get("request_id")
        made = outputs.audit(
            None,
            "notice_failed",
            now,
            reason=f"{delivery.channel} to {delivery.shown}: {delivery.error}",
            detail=f"`emberline notify retry {delivery.id}` tries again",
            request_id=request_id if isinstance(request_id, str) else None,
        )
        marked = registry_of(self._settings) is not None
        value = codec.encode(made.schema, made.record, own_id(made.schema) if marked else None)
        term.audits.append(Record(self._topics.audit, None, value))


async def _attempt(send: Send, notice: Notice, delivery: Delivery) -> Attempt:
    """One attempt; an unforeseen error fails this delivery and no other."""
    try:
        return await send(notice, delivery)
    except Exception as error:
        log.exception("notifier: unforeseen error in a delivery")
        return Attempt(Result.REFUSED, f"unforeseen error: {type(error).__name__}")

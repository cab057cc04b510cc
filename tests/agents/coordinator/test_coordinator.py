"""The coordinator on a real broker: takeover, one transaction for each step, fencing, crashes."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.codec import gzip_encode, zstd_encode

from agents.coordinator.coordinator import Coordinator
from agents.coordinator.log import appended_at
from agents.coordinator.rules.policy import Policy
from agents.views.state_view import StateView, follow
from schemas.decode.batch import KafkaRecord, unpack
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.lifecycle import State
from streams.clock import ManualClock
from streams.kafka import topics as topic_admin
from streams.kafka.environment import Environment
from streams.kafka.fetch import Fetcher
from streams.kafka.foreign_records import COUNTS
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Fenced, Record, RecordGroup, StepFailed
from streams.kafka.offsets import bounds
from streams.kafka.step import StepProducer
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs import dummies
from tests.rigs.hostile.batches import record_of, wire_of
from tests.rigs.hostile.raw_produce import produce

pytestmark = pytest.mark.connected

START = 1_700_000_000_000
DAY = 86_400_000
MONTH3 = 92 * DAY
A = "campaign:a"
DEADLINE_S = 60.0
LAST = "last-"


class CoordinatorRig:
    """A prefix on the broker with a clock, a writer, and readers of the outputs."""

    def __init__(self, settings: Settings, topics: Topics, writer: StepProducer) -> None:
        self.settings = settings
        self.topics = topics
        self.clock = ManualClock(START)
        # the clock on paper is years from the broker's
        self.policy = replace(Policy.of(settings), sweep_confirm_share=1.0, clock_skew_ms=1 << 60)
        self._writer = writer

    def coordinator(self) -> Coordinator:
        return Coordinator(Environment.of(self.settings, self.clock), self.policy)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Coordinator]:
        """A coordinator that leads; it ends with the block."""
        coordinator = self.coordinator()
        task = asyncio.create_task(coordinator.run())
        try:
            async with asyncio.timeout(DEADLINE_S):
                running = asyncio.create_task(coordinator.running.wait())
                await asyncio.wait({task, running}, return_when=asyncio.FIRST_COMPLETED)
                running.cancel()
            if task.done():
                await task
            yield coordinator
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def write(self, topic: str, key: str | None, value: bytes | None) -> None:
        await self._writer.commit([Record(topic, key.encode() if key else None, value)])

    async def write_raw(self, topic: str, *records: tuple[bytes | None, bytes | None]) -> None:
        await self._writer.commit([Record(topic, key, value) for key, value in records])

    async def define(self, key: str, status: str, **facts: Any) -> None:
        record = {"key": key, "status": status, **facts}
        await self.write(self.topics.catalog, key, codec.encode("definition", record))

    async def command(self, kind: str, *sources: str, request_id: str) -> None:
        record = {"type": kind, "sources": list(sources), "request_id": request_id}
        await self.write(self.topics.control, None, codec.encode("command", record))

    async def report(self, source: str, version: int, phase: str, *partitions: int) -> None:
        for partition in partitions:
            item = {"source": source, "version": version, "phase": phase}
            item |= {"interactions": 1, "bytes": 10, "segments": 1, "checksum": f"{1:032x}"}
            record = {"partition": partition, "time": 0, "items": [item]}
            await self.write(self.topics.shard_reports, source, codec.encode("report", record))

    async def records(self, topic: str) -> list[KafkaRecord]:
        """All records of a topic with one partition whose commit has been acknowledged.

        The broker marks a commit in the log a little after it has acknowledged it: so read up
        to a record of our own, which stands behind all of them.
        """
        partition = (topic, 0)
        start, _ = (await bounds(self.settings, [partition]))[partition]
        last = f"{LAST}{uuid.uuid4().hex}"
        await self.write(topic, last, b"")
        fetcher = Fetcher(self.settings, {partition: start})
        await fetcher.start()
        found: list[KafkaRecord] = []
        try:
            async with asyncio.timeout(DEADLINE_S):
                # what others write meanwhile may stand behind it
                while all(record.key != last.encode() for record in found):
                    for batch in await fetcher.fetch():
                        found += unpack(batch)
        finally:
            await fetcher.close()
        return [record for record in found if not (record.key or b"").startswith(LAST.encode())]

    async def told(self, topic: str, schema: str) -> list[dict[str, Any]]:
        return [codec.decode(one.value or b"", schema) for one in await self.records(topic)]


@pytest.fixture
async def rig(settings: Settings, topics: Topics) -> AsyncIterator[CoordinatorRig]:
    writer = StepProducer(settings, f"{settings.prefix}test-writer")
    await writer.start()
    yield CoordinatorRig(settings, topics, writer)
    await writer.close()


@pytest.fixture
async def view(settings: Settings, topics: Topics) -> AsyncIterator[StateView]:
    seen = StateView()
    task = asyncio.create_task(follow(Environment.of(settings), seen))
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(view: StateView, source: str, *states: State) -> int:
    """Wait until a source is in one of the states; returns its version."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            changes = view.changes
            found = view.get(source)
            if found is not None and found.state in states:
                return found.version
            await view.changed(changes)


async def expire(rig: CoordinatorRig, view: StateView) -> None:
    """Bring A into the archive."""
    await rig.define(A, "STOPPED", name="Spring")
    await until(view, A, State.STOPPED)
    rig.clock.advance(MONTH3 + DAY)
    version = await until(view, A, State.EXPIRING)
    await rig.report(A, version, "expired", 0, 1, 2, 3)
    await until(view, A, State.EXPIRED)


async def test_a_source_goes_to_the_archive_and_back(rig: CoordinatorRig, view: StateView) -> None:
    async with rig.running():
        await expire(rig, view)
        assert view.hidden(A)
        (expired,) = await rig.told(rig.topics.expired, "expired")
        assert (expired["name"], expired["epoch"], expired["interactions"]) == ("Spring", 1, 4)
        await rig.command("restore", A, request_id="r")
        version = await until(view, A, State.RESTORING)
        await rig.report(A, version, "restored", 0, 1, 2, 3)
        await until(view, A, State.STOPPED)
        (restored,) = await rig.told(rig.topics.restored, "restored")
        assert (restored["request_id"], restored["checksum"]) == ("r", expired["checksum"])
        results = await rig.told(rig.topics.control_results, "result")
        assert results[-1]["outcome"] == "completed"
        assert results[-1]["source"] is None


async def test_takeover_continues_where_the_last_one_stopped(
    rig: CoordinatorRig, view: StateView
) -> None:
    async with rig.running() as first:
        await rig.define("canvas:b", "ACTIVE")
        await until(view, "canvas:b", State.ACTIVE)
        await rig.define(A, "STOPPED")
        await until(view, A, State.STOPPED)
        rig.clock.advance(MONTH3 + DAY)
        version = await until(view, A, State.EXPIRING)
        await rig.report(A, version, "expired", 0, 1)
        await rig.command("hold", A, request_id="seen")
        async with asyncio.timeout(DEADLINE_S):
            while (seen := view.get(A)) is None or seen.held is None:
                await view.changed(view.changes)
        known = first.state.catalog
    # while nobody looks: deleted, commanded, reported
    await rig.write(rig.topics.catalog, "canvas:b", None)
    await rig.command("restore", A, request_id="away")
    await rig.report(A, version, "expired", 2, 3)
    async with rig.running() as second:
        restoring = await until(view, A, State.RESTORING)
        assert second.state.sources["canvas:b"].deleted
        assert second.state.catalog.keys() == known.keys() - {"canvas:b"}
        await rig.report(A, restoring, "restored", 0, 1, 2, 3)
        await until(view, A, State.HELD)
    assert len(await rig.told(rig.topics.expired, "expired")) == 1
    assert len(await rig.told(rig.topics.restored, "restored")) == 1


async def test_takeover_does_not_live_through_the_past_again(
    rig: CoordinatorRig, view: StateView
) -> None:
    """The catalog keeps history until it is compacted; none of it is news."""
    async with rig.running():
        await rig.define(A, "ACTIVE")
        await until(view, A, State.ACTIVE)
        await rig.write(rig.topics.catalog, A, b"{}")
        await expire(rig, view)
        before = view.get(A)
        assert before is not None
        rejected = len(await rig.records(rig.topics.rejected))
    async with rig.running() as second:
        assert second.state.sources[A].state is State.EXPIRED
        assert second.state.sources[A].stopped_at == before.stopped_at
    audit = await rig.told(rig.topics.audit, "audit")
    assert "resumed_while_hidden" not in {one["decision"] for one in audit}
    assert len(await rig.records(rig.topics.rejected)) == rejected


async def test_states_that_their_topic_has_lost_are_published_again(rig: CoordinatorRig) -> None:
    topic = rig.topics.state
    async with rig.running() as coordinator:
        await rig.define(A, "ACTIVE")
        await rig.define("campaign:b", "STOPPED")
        await dummies.until(lambda: len(coordinator.state.sources) == 2)
    before = await states(rig)
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.settings.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([topic])
    async with asyncio.timeout(DEADLINE_S):
        while topic in await admin.list_topics():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
    await admin.close()
    await topic_admin.create(rig.settings)

    async with rig.running():
        assert await states(rig) == before
    told = len(await rig.records(topic))
    async with rig.running():
        assert len(await rig.records(topic)) == told, "and only what was lost"


async def states(rig: CoordinatorRig) -> dict[str, Any]:
    """The last record of every source."""
    return {one["source"]: one for one in await rig.told(rig.topics.state, "state")}


async def test_a_second_coordinator_fences_the_first(rig: CoordinatorRig, view: StateView) -> None:
    first = rig.coordinator()
    task = asyncio.create_task(first.run())
    async with asyncio.timeout(DEADLINE_S):
        await first.running.wait()
    async with rig.running():
        await rig.define(A, "ACTIVE")
        await until(view, A, State.ACTIVE)
        with pytest.raises(Fenced):
            await asyncio.wait_for(task, DEADLINE_S)
        assert not first.running.is_set()
        await rig.define(A, "STOPPED")
        await until(view, A, State.STOPPED)
    assert len(await rig.told(rig.topics.state, "state")) <= 2


async def test_a_coordinator_takes_over_only_once_it_may(
    rig: CoordinatorRig, view: StateView
) -> None:
    asked, may = asyncio.Event(), asyncio.Event()

    async def may_fence() -> None:
        asked.set()
        await may.wait()

    environment = Environment.of(rig.settings, rig.clock)
    second = Coordinator(environment, rig.policy, may_fence=may_fence)
    async with rig.running(), asyncio.timeout(DEADLINE_S):
        task = asyncio.create_task(second.run())
        await asked.wait()
        await rig.define(A, "ACTIVE")
        await until(view, A, State.ACTIVE)  # the first leads on
        assert not second.running.is_set()
        may.set()
        await second.running.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("committed", [False, True])
async def test_events_once_whatever_becomes_of_a_commit(
    rig: CoordinatorRig, view: StateView, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The step with the expiry event fails before, or after, it was committed."""
    commit = StepProducer.commit
    failed: list[int] = []

    async def doubtful(self: StepProducer, records: list[Record], **rest: Any) -> list[int]:
        groups: list[RecordGroup] = rest.get("groups", [])
        tells = any(group.topic == rig.topics.expired for group in groups)
        if not tells or failed:
            return await commit(self, records, **rest)
        failed.append(len(records))
        if committed:
            await commit(self, records, **rest)
        raise StepFailed("the outcome is unknown")

    monkeypatch.setattr(StepProducer, "commit", doubtful)
    async with rig.running():
        await expire(rig, view)
        # one more step shows that it leads again
        await rig.command("pause", request_id="p")
        await _results(rig, lambda found: any(one["request_id"] == "p" for one in found))
    assert failed
    (event,) = await rig.told(rig.topics.expired, "expired")
    assert event["interactions"] == 4


async def test_what_cannot_be_read_is_rejected_and_refused(
    rig: CoordinatorRig, view: StateView
) -> None:
    async with rig.running():
        await rig.define(A, "STOPPED")
        root = {"filter": "received_from_campaign", "campaign": "a"}
        await rig.define("canvas:b", "ACTIVE", filters=json.dumps(root))
        await until(view, A, State.EXEMPT)
        await rig.write(rig.topics.catalog, "canvas:b", b"garbage")
        await rig.write(rig.topics.catalog, "canvas:c", b'{"key":"canvas:d","status":"ACTIVE"}')
        await rig.write(rig.topics.control, None, b'{"request_id":"mine","type":3}')
        await rig.write(rig.topics.control, None, b"\x01")
        await rig.write(rig.topics.shard_reports, None, b"\x00\x00")
        await rig.command("restore", "campaign:zz", request_id="last")
        found = await _results(rig, lambda found: any(one["request_id"] == "last" for one in found))
    told = {(one["request_id"], one["source"], one["code"]) for one in found}
    control = rig.topics.control
    assert told == {
        ("mine", None, "invalid_command"),
        (f"{control}-0-2", None, "invalid_command"),
        ("last", None, "unknown_source"),
        ("last", "campaign:zz", "unknown_source"),
    }
    rejected = await rig.records(rig.topics.rejected)
    headers = [dict(one.headers) for one in rejected]
    assert sorted((h["topic"] or b"").decode() for h in headers) == sorted(
        [rig.topics.catalog] * 2 + [control] * 2 + [rig.topics.shard_reports]
    )
    assert {bytes(one.value or b"") for one in rejected} >= {b"garbage", b"\x01"}
    assert all(h.keys() == {"topic", "partition", "offset", "code", "detail"} for h in headers)
    found_a = view.get(A)
    assert found_a is not None
    assert found_a.state is State.EXEMPT


async def test_a_batch_that_cannot_be_opened_is_rejected_and_skipped(
    rig: CoordinatorRig, view: StateView
) -> None:
    """A bomb among the commands, and a definition with bytes behind its payload."""
    broker, bomb = rig.settings.bootstrap_servers, record_of(0, bytes(40_000_000))
    value = codec.encode("definition", {"key": "campaign:behind", "status": "ACTIVE"})
    behind = gzip_encode(record_of(0, value, b"campaign:behind")) + b"garbage"
    assert await produce(broker, rig.topics.control, 0, [wire_of(zstd_encode(bomb), 1, 4, 0)])
    assert await produce(broker, rig.topics.catalog, 0, [wire_of(behind, 1, 1, 0)])
    async with rig.running():
        await rig.command("pause", request_id="after")
        await until(view, "campaign:behind", State.ACTIVE)
        async with asyncio.timeout(DEADLINE_S):
            while not await rig.told(rig.topics.control_results, "result"):
                pass
    (aside,) = [
        one
        for one in await rig.records(rig.topics.rejected)
        if dict(one.headers)["topic"] == rig.topics.control.encode()
    ]
    assert dict(aside.headers)["code"] == b"too_large"
    assert zstd_encode(bomb) in (aside.value or b"")


async def test_a_definition_in_a_batch_that_cannot_be_opened_is_not_taken_for_deleted(
    rig: CoordinatorRig, view: StateView
) -> None:
    """Compaction leaves the last record of a key, and the reader cannot open its batch."""
    broker, topic = rig.settings.bootstrap_servers, rig.topics.catalog
    uses = json.dumps([{"filter": "received_from_campaign", "campaign": "a"}])
    async with rig.running():
        await rig.define("canvas:uses", "ACTIVE", filters=uses)
        await rig.define(A, "STOPPED", name="Spring")
        await until(view, A, State.EXEMPT)
    await forget(rig.settings, topic)
    end = (await bounds(rig.settings, [(topic, 0)]))[topic, 0][1]
    bomb = zstd_encode(record_of(0, bytes(40_000_000)))
    assert await produce(broker, topic, 0, [wire_of(bomb, 1, 4, 0)])
    rig.clock.advance(MONTH3 + DAY)
    async with rig.running() as coordinator:
        assert set(coordinator.state.catalog) == {"canvas:uses", A}
        assert coordinator.state.sources[A].state is State.EXEMPT
    aside = [dict(one.headers) for one in await rig.records(rig.topics.rejected)]
    places = [(one["topic"], one["offset"], one["code"]) for one in aside]
    assert places == [(topic.encode(), str(end).encode(), b"too_large")]


async def test_foreign_records_in_its_topic_stop_no_coordinator(
    rig: CoordinatorRig, view: StateView, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running():
        await rig.define(A, "STOPPED")
        await until(view, A, State.STOPPED)
    topic = rig.topics.coordinator
    foreign: list[tuple[bytes | None, bytes | None]] = [
        (b"\xff\xfe", b"x"),
        (b"s/campaign:\xff", b"x"),
        (b"s/rubbish", b"[1]"),
        (b"k/rubbish", b"{"),
        (b"rubbish", b"x"),
        (b"o", b"\xff"),
        (b"o", None),
    ]
    await rig.write_raw(topic, *foreign)
    async with rig.running() as second:
        assert set(second.state.sources) == {A}
    assert COUNTS[topic] == len(foreign)
    warned = {text for text in caplog.messages if "skipped" in text}
    assert 0 < len(warned) < len(foreign)
    assert all(text.startswith(f"{topic}[0] offset ") for text in warned)


@pytest.mark.parametrize("value", [b"[damaged", b'{"next_at": "x", "state": 7}', None])
async def test_what_stood_before_a_damaged_record_of_its_own_holds(
    rig: CoordinatorRig, view: StateView, value: bytes | None
) -> None:
    async with rig.running() as first:
        await rig.define(A, "STOPPED", name="Spring")
        await until(view, A, State.STOPPED)
        before = first.state
    keys = [f"s/{A}", "c", "w", f"k/{A}", "r/one", "a/segment:s", "t/one\x1fcampaign:a"]
    damaged = [key for key in keys if value is not None or key[0] in "swc"]
    await rig.write_raw(rig.topics.coordinator, *((key.encode(), value) for key in damaged))
    async with rig.running() as second:
        assert second.state.sources == before.sources
        assert second.state.catalog == before.catalog
        await rig.command("hold", A, request_id="goes on")
        await until(view, A, State.HELD)
    assert COUNTS[rig.topics.coordinator] == len(damaged)


async def forget(settings: Settings, topic: str) -> None:
    """Delete all that stands in a topic now."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    policy = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": "delete"})
    try:
        await admin.alter_configs([policy])
        end = (await bounds(settings, [(topic, 0)]))[topic, 0][1]
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(end)})
    finally:
        await admin.close()


async def test_a_source_whose_record_is_destroyed_is_known_by_its_state(
    rig: CoordinatorRig, view: StateView
) -> None:
    async with rig.running():
        await expire(rig, view)
        version = await until(view, A, State.EXPIRED)
    await forget(rig.settings, rig.topics.coordinator)
    await rig.write_raw(rig.topics.coordinator, (f"s/{A}".encode(), b"\xff"))
    async with rig.running() as second:
        source = second.state.sources[A]
        assert (source.state, source.epoch, source.version) == (State.EXPIRED, 1, version)
        await rig.command("restore", A, request_id="back")
        await until(view, A, State.RESTORING)


@pytest.mark.parametrize("forged", [b"garbage", None, 1, 1 << 40, 1 << 62])
async def test_states_of_another_producer_are_overwritten(
    rig: CoordinatorRig, view: StateView, forged: bytes | int | None
) -> None:
    if isinstance(forged, int):
        record = {"source": A, "state": "ACTIVE", "version": forged, "updated_at": 1}
        value: bytes | None = codec.encode("state", record)
    else:
        value = forged
    async with rig.running() as coordinator:
        await expire(rig, view)
        await until(view, A, State.EXPIRED)
        await rig.write_raw(rig.topics.state, (A.encode(), value))
        async with asyncio.timeout(DEADLINE_S):
            while not await decided(rig, "foreign_state_overwritten"):
                pass
        assert coordinator.state.sources[A].state is State.EXPIRED
        found = await until(view, A, State.EXPIRED)
        assert found == coordinator.state.sources[A].version
        # nothing but that and what came after is left for a worker that starts now
        late = StateView()
        following = asyncio.create_task(follow(Environment.of(rig.settings), late))
        async with asyncio.timeout(DEADLINE_S):
            await late.caught_up.wait()
        assert late.hidden(A)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def decided(rig: CoordinatorRig, decision: str) -> bool:
    return any(one["decision"] == decision for one in await rig.told(rig.topics.audit, "audit"))


async def stamp_by_the_broker(settings: Settings, topic: str) -> None:
    """Let the broker's time be that of the topic's records; returns once it does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    stamped = {"message.timestamp.type": "LogAppendTime"}
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, stamped)])
    finally:
        await admin.close()
    producer = StepProducer(settings, f"{settings.prefix}stamp")
    await producer.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            offset = -1
            while offset < 0 or await appended_at(settings, KafkaLog(settings), offset) is None:
                (offset,) = await producer.commit([Record(topic, b"x", None)])
    finally:
        await producer.close()


async def test_nothing_expires_while_the_broker_has_another_time(
    rig: CoordinatorRig, view: StateView
) -> None:
    await stamp_by_the_broker(rig.settings, rig.topics.coordinator)
    rig.policy = replace(rig.policy, clock_skew_ms=300_000)
    async with rig.running() as coordinator:
        await rig.define(A, "STOPPED")
        await until(view, A, State.STOPPED)
        rig.clock.advance(MONTH3 + DAY)
        # told after the sweep: both are decided in order
        await rig.command("expire", A, request_id="by hand")
        await until(view, A, State.EXPIRING)
        assert coordinator.state.sweep.skewed
    (event,) = [
        one for one in await rig.told(rig.topics.audit, "audit") if one["decision"] == "expiring"
    ]
    assert event["reason"] == "operator"


async def test_another_number_of_partitions_is_refused(rig: CoordinatorRig) -> None:
    async with rig.running():
        pass
    other = Coordinator(Environment.of(replace(rig.settings, partitions=8), rig.clock))
    with pytest.raises(Fatal, match="EMBERLINE_PARTITIONS=4"):
        await asyncio.wait_for(other.run(), DEADLINE_S)


async def test_restoring_is_published_soon_after_the_command(
    rig: CoordinatorRig, view: StateView
) -> None:
    async with rig.running():
        await expire(rig, view)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await rig.command("restore", A, request_id="r")
        await until(view, A, State.RESTORING)
        assert loop.time() - begin < 5.0  # a bound for busy machines; about 0.1 s at rest


async def _results(
    rig: CoordinatorRig, enough: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """Read control.results until it holds enough."""
    partition = (rig.topics.control_results, 0)
    fetcher = Fetcher(rig.settings, {partition: 0})
    await fetcher.start()
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not enough(found):
                for batch in await fetcher.fetch():
                    found += [codec.decode(one.value or b"", "result") for one in unpack(batch)]
    finally:
        await fetcher.close()
    return found

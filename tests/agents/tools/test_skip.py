"""Skipping lost records: a shard and a coordinator that refused to start continue afterwards."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from agents.cli.topics import skipped_line
from agents.coordinator.coordinator import Coordinator
from agents.tools.publish import Chunk, publish
from agents.tools.skip import Skipped, skip
from agents.tools.skip_batch import At, Passed, skip_batch
from agents.views.state_view import StateView
from schemas.decode.batch import parse_batches, unpack
from schemas.errors import UsageError
from schemas.records import codec
from streams.kafka.environment import Environment
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import LostRange, Record
from streams.kafka.step import StepProducer
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.shard import DEADLINE_S, SMALL, alone, events, start
from tests.rigs.topics import make_anew

__all__ = ["alone"]

pytestmark = pytest.mark.connected


async def cut(settings: Settings, topic: str, offset: int) -> None:
    """Delete the records below an offset, as a short retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(offset)})
    finally:
        await admin.close()


async def taken_in(coordinator: Coordinator, requests: int) -> None:
    """Let it run until it knows this many requests."""
    task = asyncio.create_task(coordinator.run())
    async with asyncio.timeout(DEADLINE_S):
        while not coordinator.running.is_set() or len(coordinator.state.requests) < requests:
            assert not task.done()
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def refused_until_skipped(settings: Settings, topic: str, cursor: int, count: int) -> None:
    """No shard starts on a topic that was created again; after the skip one reads all of it."""
    with pytest.raises(LostRange, match=r"deleted and created again.*emberline topics skip"):
        await start(settings)

    (moved,) = await skip(Environment.of(settings))
    assert moved == Skipped(topic, 0, cursor, 0)
    again = await start(settings, StateView())
    try:
        await again.until(lambda: again.shard._ingest.events == count)
    finally:
        await again.stop()


async def test_a_shard_continues_after_the_loss_was_accepted(alone: Settings) -> None:
    topics = Topics(alone.prefix)
    first = await start(alone)
    sent = events(200)
    await first.send(sent, 0)
    cursor = first.shard.status.cursor[topics.event("send")]
    await first.stop()
    garbage = Chunk("interactions.send", [b"u"] * 20, [b"x"] * 20)
    await publish(alone, [garbage])
    await cut(alone, topics.event("send"), cursor + 10)
    with pytest.raises(LostRange, match="emberline topics skip"):
        await start(alone)

    (lost,) = await skip(Environment.of(alone))
    assert lost == Skipped(topics.event("send"), 0, cursor, cursor + 10)
    assert await skip(Environment.of(alone)) == []
    again = await start(alone, StateView())
    try:
        # the rest of what was deleted is passed
        await again.until(lambda: again.shard.status.cursor[lost.topic] >= cursor + 20)
        assert again.shard.status.rows > 0
    finally:
        await again.stop()


async def test_a_topic_that_was_created_again_is_read_from_its_beginning(alone: Settings) -> None:
    topic = Topics(alone.prefix).event("send")
    first = await start(alone)
    sent = events(200)
    await first.send(sent, 0)
    cursor = first.shard.status.cursor[topic]
    await first.stop()
    await make_anew(alone, topic)
    news = [codec.encode("send", event) for kind, event in events(60, seed=1) if kind == "send"]
    assert 0 < len(news) < cursor
    await publish(alone, [Chunk("interactions.send", [b"any"] * len(news), news)])
    with pytest.raises(LostRange, match=rf"ends at {len(news)}.*emberline topics skip"):
        await start(alone)

    (moved,) = await skip(Environment.of(alone))
    assert moved == Skipped(topic, 0, cursor, 0)
    assert "read from its beginning, offset 0" in skipped_line(moved)
    assert await skip(Environment.of(alone)) == []
    again = await start(alone, StateView())
    try:
        await again.until(lambda: again.shard._ingest.events == len(news))
        assert again.shard.status.cursor[topic] == len(news)
    finally:
        await again.stop()


async def test_a_new_topic_that_is_longer_than_the_old_one_was_is_not_taken_for_it(
    alone: Settings,
) -> None:
    """The cursor lies within its log, and all before it would pass unread."""
    topic = Topics(alone.prefix).event("send")
    first = await start(alone)
    await first.send(events(60), 0)
    cursor = first.shard.status.cursor[topic]
    await first.stop()
    await make_anew(alone, topic)
    sent = [codec.encode("send", event) for kind, event in events(200, seed=1) if kind == "send"]
    assert 0 < cursor < len(sent)
    await publish(alone, [Chunk("interactions.send", [b"any"] * len(sent), sent)])
    await refused_until_skipped(alone, topic, cursor, len(sent))


@pytest.mark.parametrize("longer", [False, True])
async def test_a_topic_that_is_created_again_under_a_running_shard_ends_its_ingest(
    alone: Settings, longer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it is read, however long it is; what was folded is answered on."""
    topic = Topics(alone.prefix).event("send")
    stand = await start(alone)
    try:
        await stand.send(events(60), 0)
        cursor, taken = stand.shard.status.cursor[topic], stand.shard._ingest.events
        held = await stand.rows(SMALL)
        await make_anew(alone, topic)
        count = 200 if longer else 20
        sent = [codec.encode(kind, one) for kind, one in events(count, seed=1) if kind == "send"]
        assert (cursor < len(sent)) is longer
        await publish(alone, [Chunk("interactions.send", [b"any"] * len(sent), sent)])
        await stand.until(lambda: "deleted and created again" in stand.shard.status.waits_for)
        assert "emberline topics skip" in caplog.text
        status = stand.shard.status
        assert (status.cursor[topic], stand.shard._ingest.events) == (cursor, taken)
        assert status.lag[topic] >= 1
        assert await stand.rows(SMALL) == held
    finally:
        await stand.stop()
    await refused_until_skipped(alone, topic, cursor, len(sent))


async def test_the_coordinators_inputs_are_skipped_too(alone: Settings) -> None:
    topic = Topics(alone.prefix).control
    coordinator = Coordinator(Environment.of(alone))
    task = asyncio.create_task(coordinator.run())
    async with asyncio.timeout(DEADLINE_S):
        await coordinator.running.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    writer = StepProducer(alone, f"{alone.prefix}writer")
    await writer.start()
    await writer.commit([Record(topic, None, b"{}") for _ in range(5)])
    await writer.close()
    await cut(alone, topic, 3)
    with pytest.raises(LostRange, match="control"):
        await asyncio.wait_for(Coordinator(Environment.of(alone)).run(), DEADLINE_S)

    assert await skip(Environment.of(alone)) == [Skipped(topic, 0, 0, 3)]
    await taken_in(Coordinator(Environment.of(alone)), 2)


async def test_commands_of_a_control_topic_that_was_created_again_are_read(alone: Settings) -> None:
    topic = Topics(alone.prefix).control
    writer = StepProducer(alone, f"{alone.prefix}writer")
    await writer.start()
    await writer.commit([Record(topic, None, b"{}") for _ in range(5)])
    coordinator = Coordinator(Environment.of(alone))
    await taken_in(coordinator, 5)
    await make_anew(alone, topic)
    await writer.commit([Record(topic, None, b'{"type": "pause", "request_id": "new"}')])
    await writer.close()
    with pytest.raises(LostRange, match="control"):
        await asyncio.wait_for(Coordinator(Environment.of(alone)).run(), DEADLINE_S)

    (moved,) = await skip(Environment.of(alone))
    assert (moved.topic, moved.to) == (topic, 0)
    assert moved.first >= 5
    again = Coordinator(Environment.of(alone))
    await taken_in(again, 6)
    assert "new" in again.state.requests


async def test_a_control_topic_that_is_created_again_under_a_coordinator_ends_it(
    alone: Settings,
) -> None:
    """However long it is: none of its commands passes unread."""
    topic = Topics(alone.prefix).control
    writer = StepProducer(alone, f"{alone.prefix}writer")
    await writer.start()
    await writer.commit([Record(topic, None, b"{}") for _ in range(2)])
    coordinator = Coordinator(Environment.of(alone))
    task = asyncio.create_task(coordinator.run())
    async with asyncio.timeout(DEADLINE_S):
        while not coordinator.running.is_set() or len(coordinator.state.requests) < 2:
            assert not task.done()
            await asyncio.sleep(0.05)
    await make_anew(alone, topic)
    await writer.commit([Record(topic, None, b"{}") for _ in range(6)])
    await writer.close()
    for ended in (task, Coordinator(Environment.of(alone)).run()):
        with pytest.raises(LostRange, match=r"control.*deleted and created again"):
            await asyncio.wait_for(ended, DEADLINE_S)

    (moved,) = await skip(Environment.of(alone))
    assert (moved.topic, moved.to) == (topic, 0)
    assert await skip(Environment.of(alone)) == []
    await taken_in(Coordinator(Environment.of(alone)), 6)


async def test_reports_and_definitions_that_are_created_again_are_read_from_their_beginning(
    alone: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    topics = Topics(alone.prefix)
    writer = StepProducer(alone, f"{alone.prefix}writer")
    await writer.start()

    async def write(count: int) -> None:
        strange = [Record(topics.shard_reports, None, b"{}") for _ in range(count)]
        made = [b'{"key":"campaign:%d","status":"ACTIVE"}' % number for number in range(count)]
        keys = [b"campaign:%d" % number for number in range(count)]
        defined = zip(keys, made, strict=True)
        await writer.commit([*strange, *(Record(topics.catalog, *one) for one in defined)])

    async def known(count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(coordinator.state.catalog) < count or not coordinator.running.is_set():
                assert not task.done(), task.result()
                await asyncio.sleep(0.05)

    await write(2)
    coordinator = Coordinator(Environment.of(alone))
    task = asyncio.create_task(coordinator.run())
    await known(2)
    await make_anew(alone, topics.catalog)
    await make_anew(alone, topics.shard_reports)
    await write(5)
    await writer.close()
    await known(5)
    assert f"{topics.shard_reports} is read from its beginning" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await skip(Environment.of(alone)) == []


async def test_one_batch_is_passed_over_by_hand_and_audited(alone: Settings) -> None:
    topics = Topics(alone.prefix)
    topic = topics.event("send")
    first = await start(alone)
    sent = events(200)
    await first.send(sent, 0)
    cursor = first.shard.status.cursor[topic]
    await first.stop()
    values = [codec.encode(kind, event) for kind, event in events(20, seed=1) if kind == "send"]
    await publish(alone, [Chunk("interactions.send", [b"u"] * 3, values[:3])])
    await publish(alone, [Chunk("interactions.send", [b"u"], values[3:4])])

    for wrong in (cursor - 1, cursor + 3):
        with pytest.raises(UsageError, match=f"that is {topic}:0:{cursor}"):
            await skip_batch(Environment.of(alone), At(topic, 0, wrong), "")
    passed = await skip_batch(Environment.of(alone), At(topic, 0, cursor + 1), "disk lost")
    assert passed == Passed(topic, 0, cursor, cursor + 3, 3)

    again = await start(alone)
    try:
        await again.until(lambda: again.shard._ingest.events == 1)
    finally:
        await again.stop()
    ((_, _, record),) = await read_all(KafkaLog(alone), topics.audit)
    entry = codec.decode(record.value or b"", "audit")
    assert (entry["decision"], entry["reason"]) == ("skip", "disk lost")
    assert f"offsets {cursor} to {cursor + 2}" in str(entry["detail"])
    ((_, _, aside),) = await read_all(KafkaLog(alone), topics.rejected)
    assert dict(aside.headers)["offset"] == str(cursor).encode()
    ((_, batch),) = parse_batches(aside.value or b"", topic, 0)
    assert batch is not None
    assert [one.value for one in unpack(batch)] == values[:3]


async def test_a_command_is_passed_over_by_hand(alone: Settings) -> None:
    topic = Topics(alone.prefix).control
    writer = StepProducer(alone, f"{alone.prefix}writer")
    await writer.start()
    await writer.commit([Record(topic, None, b"{}")])
    await writer.commit([Record(topic, None, b'{"type": "pause", "request_id": "second"}')])
    await writer.close()
    passed = await skip_batch(Environment.of(alone), At(topic, 0, 0), "")
    assert (passed.first, passed.to) == (0, 1)
    coordinator = Coordinator(Environment.of(alone))
    await taken_in(coordinator, 1)
    assert set(coordinator.state.requests) == {"second"}

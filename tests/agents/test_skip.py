"""Skipping what is gone: a shard and a coordinator that refuse to start go on afterwards."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from agents.coordinator import Coordinator
from agents.publish import Chunk, publish
from agents.skip import Skipped, skip
from agents.state_view import StateView
from streams.clock import SystemClock
from streams.fetch import LostRange
from streams.settings import Settings
from streams.step import Record, StepProducer
from streams.topics import Topics
from tests.agents.test_shard import DEADLINE_S, alone, events, start

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


async def test_a_shard_goes_on_after_the_loss_was_accepted(alone: Settings) -> None:
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

    (lost,) = await skip(alone)
    assert lost == Skipped(topics.event("send"), 0, cursor, cursor + 10)
    assert await skip(alone) == []
    again = await start(alone, StateView())
    try:
        # the rest of what was deleted is passed
        await again.until(lambda: again.shard.status.cursor[lost.topic] >= cursor + 20)
        assert again.shard.status.rows > 0
    finally:
        await again.stop()


async def test_the_coordinators_inputs_are_skipped_too(alone: Settings) -> None:
    topic = Topics(alone.prefix).control
    coordinator = Coordinator(alone, SystemClock())
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
        await asyncio.wait_for(Coordinator(alone, SystemClock()).run(), DEADLINE_S)

    assert await skip(alone) == [Skipped(topic, 0, 0, 3)]
    again = Coordinator(alone, SystemClock())
    task = asyncio.create_task(again.run())
    async with asyncio.timeout(DEADLINE_S):
        while len(again.world.requests) < 2:
            assert not task.done()
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

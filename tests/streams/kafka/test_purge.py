"""The processed records of a log are deleted, and none above them."""

import asyncio

import pytest

from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Record
from streams.kafka.offsets import bounds
from streams.kafka.purge import Purge
from streams.kafka.step import StepProducer
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.topics import make_anew

pytestmark = pytest.mark.connected


async def test_a_log_is_kept_until_it_has_been_taken_in(settings: Settings, topics: Topics) -> None:
    place = (topics.repartition, 2)
    producer = StepProducer(settings, f"{settings.prefix}test")
    await producer.start()
    await producer.commit([Record(*place[:1], None, b"v", 2) for _ in range(10)])
    await producer.close()
    committed: list[int | None] = [None]
    purge = Purge(KafkaLog(settings), place, lambda: committed[0], every_s=0.01)

    async def begin() -> int:
        return (await bounds(settings, [place]))[place][0]

    assert not await purge.once()
    assert await begin() == 0
    committed[0] = 4
    assert await purge.once()
    assert await begin() == 4
    assert not await purge.once()
    committed[0] = 7
    running = asyncio.create_task(purge.run())
    try:
        async with asyncio.timeout(30):
            while True:
                if await begin() == 7:
                    break
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_broker_that_refuses_is_logged_and_ends_nothing(
    settings: Settings, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    # above the end: what a topic created again would look like
    purge = Purge(KafkaLog(settings), (topics.repartition, 0), lambda: 1_000, every_s=0.01)
    running = asyncio.create_task(purge.run())
    try:
        async with asyncio.timeout(30):
            while True:
                if "keeps records that have been processed" in caplog.text:
                    break
                assert not running.done()
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_nothing_is_deleted_of_a_topic_that_was_created_again(
    settings: Settings, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    place = (topics.repartition, 0)
    committed: list[int | None] = [None]
    purge = Purge(KafkaLog(settings), place, lambda: committed[0], every_s=0.05)
    running = asyncio.create_task(purge.run())
    try:
        async with asyncio.timeout(60):
            while True:
                if purge._id is not None:
                    break
                await asyncio.sleep(0.05)
            await make_anew(settings, topics.repartition)
            producer = StepProducer(settings, f"{settings.prefix}test")
            await producer.start()
            await producer.commit([Record(place[0], None, b"unread") for _ in range(10)])
            await producer.close()
            committed[0] = 7  # of the former topic
            while "created again" not in caplog.text:
                assert not running.done()
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert (await bounds(settings, [place]))[place][0] == 0

"""The beginnings and ends of logs, from a real broker."""

import asyncio
import dataclasses

import pytest

from schemas.errors import Recoverable
from streams.kafka.log import Record
from streams.kafka.offsets import bounds
from streams.kafka.step import StepProducer
from streams.kafka.topics import Topics
from streams.settings import Settings

pytestmark = pytest.mark.connected


async def test_an_empty_log_begins_where_it_ends(settings: Settings, topics: Topics) -> None:
    partitions = [(topics.changelog, p) for p in range(settings.partitions)]
    assert await bounds(settings, partitions) == dict.fromkeys(partitions, (0, 0))


async def test_the_end_is_that_of_what_is_committed(settings: Settings, topics: Topics) -> None:
    producer = StepProducer(settings, f"{settings.prefix}offsets")
    await producer.start()
    try:
        await producer.commit([Record(topics.changelog, b"f", b"1", 1)])
    finally:
        await producer.close()
    partitions = [(topics.changelog, 1), (topics.archive, 0)]
    async with asyncio.timeout(30):
        # the markers of a transaction are written after its commit is answered
        found = await bounds(settings, partitions)
        while found[topics.changelog, 1] != (0, 2):
            found = await bounds(settings, partitions)
    assert found[topics.archive, 0] == (0, 0)


async def test_no_broker_is_recoverable(settings: Settings) -> None:
    nobody = dataclasses.replace(settings, bootstrap_servers="127.0.0.1:1")
    with pytest.raises(Recoverable, match="does not answer"):
        await bounds(nobody, [("any", 0)])

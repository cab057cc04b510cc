"""A producer that loses its transactional id raises Fenced, at any point of a step."""

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.kafka.log import Fenced, Record, RecordGroup, StepFailed
from streams.kafka.step import StepProducer
from streams.kafka.topics import Topics
from streams.settings import Settings

pytestmark = pytest.mark.connected


async def taken(settings: Settings, name: str) -> None:
    """Take the transactional id over, and close."""
    other = StepProducer(settings, name)
    await other.start()
    await other.close()


async def test_one_that_is_fenced_between_two_sends_is_fenced(
    settings: Settings, topics: Topics
) -> None:
    name = f"{settings.prefix}step"
    producer = StepProducer(settings, name)
    await producer.start()

    def fence(offsets: list[int]) -> list[Record]:
        """In the midst of the step; the topics are new to the producer, which asks for each."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, taken(settings, name)).result(60)
        new = [topics.audit, topics.state, topics.expired, topics.restored, topics.users]
        return [Record(topic, b"k", b"v", 0) for topic in (topics.changelog, *new)]

    try:
        with pytest.raises(Fenced):
            await producer.commit([], first=[Record(topics.archive, b"k", b"v", 0)], then=fence)
        with pytest.raises(StepFailed, match="spent"):
            await producer.commit([Record(topics.changelog, b"k", b"v", 0)])
    finally:
        await producer.close()


async def test_a_fenced_producer_leaves_no_unretrieved_error(
    settings: Settings, topics: Topics
) -> None:
    """Python logs such an error, with a traceback, whenever it collects its future."""
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: unheard.append(about))
    name = f"{settings.prefix}heard"
    many = [Record(topic, b"k", b"v", 0) for topic in (topics.changelog, topics.archive)]
    for _ in range(3):
        producer = StepProducer(settings, name)
        await producer.start()
        await producer.commit(many)
        await taken(settings, name)
        group = RecordGroup(topics.audit, 0, (), [(b"k", b"v", 0)])
        with pytest.raises(Fenced):
            await producer.commit(many, groups=[group])
        await producer.close()
        del producer
        gc.collect()
        await asyncio.sleep(0)
    assert unheard == []

"""A producer that loses its transactional id raises Fenced, at any point of a step."""

import asyncio
import gc
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.transaction import EndTxnRequest

from streams.kafka import bootstrap
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Fenced, Record, RecordGroup, StepFailed
from streams.kafka.step import StepProducer
from streams.kafka.topic_reader import read_all
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


async def late(settings: Settings, name: str, request: EndTxnRequest) -> None:
    """A request arrives that was held up on its way, on a connection that is gone since."""
    client = bootstrap.client(settings, "late")
    try:
        await client.bootstrap()
        node = await client.coordinator_lookup(1, name)
        await client.send(node, request)
    finally:
        await client.close()


async def test_a_commit_that_is_held_up_does_not_end_the_next_step(
    settings: Settings, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request names producer and epoch, and no transaction: the next one may be meant."""
    name = f"{settings.prefix}held"
    held: list[EndTxnRequest] = []
    send = AIOKafkaConnection.send

    def holding(connection: AIOKafkaConnection, request: Any, **more: Any) -> Awaitable[Any]:
        if not isinstance(request, EndTxnRequest) or held:
            sent: Awaitable[Any] = send(connection, request, **more)
            return sent
        held.append(request)
        unanswered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        unanswered.set_exception(TimeoutError())
        return unanswered

    monkeypatch.setattr(AIOKafkaConnection, "send", holding)

    def arrive(offsets: list[int]) -> list[Record]:
        """In the midst of the next step."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, late(settings, name, held[0])).result(60)
        return [Record(topics.changelog, b"k", b"other half", 0)]

    producer = StepProducer(settings, name)
    await producer.start()
    await producer.commit([Record(topics.changelog, b"k", b"whole", 0)])
    half = Record(topics.archive, b"k", b"half", 0)
    with pytest.raises(StepFailed):
        await producer.commit([], first=[half], then=arrive)
    await producer.close()

    newer = StepProducer(settings, name)
    await newer.start()
    await newer.commit([Record(topics.archive, b"k", b"newer", 0)])
    await newer.close()
    kafka = KafkaLog(settings)
    kept = [await read_all(kafka, topic) for topic in (topics.changelog, topics.archive)]
    assert [[one.value for _, _, one in some] for some in kept] == [[b"whole"], [b"newer"]]

"""Fetching without a group: no broker answers, a partition has no leader, and the lag."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.decode.batch import unpack
from schemas.errors import Recoverable
from streams.clock import ManualClock
from streams.kafka.fetch import RETRY_S, Fetcher
from streams.kafka.log import Partition, ReaderOptions
from streams.settings import Settings

DEADLINE_S = 60.0
FIRST, SECOND = ("a", 0), ("b", 0)


async def test_no_broker_at_the_start_is_something_that_mends() -> None:
    """A broker may go between two questions of a recovery: the shard starts again, no more."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        fetcher = Fetcher(Settings(bootstrap_servers=address), {("t", 0): 0})
        async with asyncio.timeout(30):
            with pytest.raises(Recoverable, match=address):
                await fetcher.start()
            await fetcher.close()


def test_lag_is_counted_from_the_cursor_that_is_asked_about() -> None:
    ends = {FIRST: 10, SECOND: 10}
    fetcher = Fetcher(Settings(), {FIRST: 10, SECOND: 4}, ReaderOptions(ends=ends))
    assert fetcher.lag({FIRST: 7, SECOND: 4}) == {FIRST: 3, SECOND: 6}


def test_a_log_of_which_nothing_was_heard_is_not_one_without_lag() -> None:
    """Where committed records end may be known: what lies behind an open transaction is not."""
    fetcher = Fetcher(Settings(), {FIRST: 3, SECOND: 3}, ReaderOptions(ends={FIRST: 3}))
    assert fetcher.lag({FIRST: 3, SECOND: 3}) == {FIRST: 1, SECOND: 1}


@pytest.mark.connected
async def test_a_question_from_before_a_seek_is_not_answered_after_it(
    broker: str, prefix: str
) -> None:
    """Also where the answer is awaited only after the seek: it was asked for before."""
    topic = f"{prefix}t"
    async with _producing(broker, [topic]) as producer:
        for value in (b"one", b"two", b"three"):
            await producer.send_and_wait(topic, value)
        settings = Settings(bootstrap_servers=broker)
        # so few bytes that each answer has one batch, and the next is asked for beforehand
        fetcher = Fetcher(
            settings, {(topic, 0): 0}, ReaderOptions(bytes_per_fetch=1, prefetch=True)
        )
        await fetcher.start()
        try:
            read: list[bytes | None] = []
            async with asyncio.timeout(DEADLINE_S):
                while len(read) < 2:
                    read += await _values(fetcher)
                fetcher.seek((topic, 0), 0)
                while len(read) < 5:
                    read += await _values(fetcher)
            assert read == [b"one", b"two", b"one", b"two", b"three"]
        finally:
            await fetcher.close()


@pytest.mark.connected
async def test_what_an_open_transaction_holds_back_is_lag_and_named(
    broker: str, prefix: str
) -> None:
    topic = f"{prefix}t"
    key = (topic, 0)
    writer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=f"{prefix}open")
    async with _producing(broker, [topic]) as producer:
        await writer.start()
        fetcher = Fetcher(
            Settings(bootstrap_servers=broker), {key: 0}, ReaderOptions(ends={key: 0})
        )
        await fetcher.start()
        try:
            await writer.begin_transaction()
            await writer.send_and_wait(topic, b"held")
            await producer.send_and_wait(topic, b"behind")
            assert fetcher.lag({key: 0}) == {key: 1}, "nothing was heard yet"
            async with asyncio.timeout(DEADLINE_S):
                while not fetcher.held_back():
                    assert await fetcher.fetch() == []
                assert fetcher.lag(fetcher.positions()) == fetcher.held_back() == {key: 2}
                await writer.commit_transaction()
                read: list[bytes | None] = []
                while len(read) < 2 or any(fetcher.lag(fetcher.positions()).values()):
                    read += await _values(fetcher)
            assert read == [b"held", b"behind"]
            assert fetcher.held_back() == {}
        finally:
            await fetcher.close()
            await writer.stop()


@pytest.mark.connected
async def test_the_bytes_of_a_fetch_are_those_of_its_records(broker: str, prefix: str) -> None:
    """Records that shrink to a hundredth would else fill the memory with a hundred times more."""
    topic = f"{prefix}t"
    async with _producing(broker, [topic], compression_type="gzip") as producer:
        for _ in range(300):
            await producer.send_and_wait(topic, b"\0" * 20_000)
        settings = Settings(bootstrap_servers=broker)
        fetcher = Fetcher(settings, {(topic, 0): 0}, ReaderOptions(bytes_per_fetch=1_000_000))
        await fetcher.start()
        try:
            sizes: list[int] = []
            async with asyncio.timeout(DEADLINE_S):
                while fetcher.position((topic, 0)) < 300:
                    batches = await fetcher.fetch()
                    sizes.append(sum(len(batch.payload) for batch in batches))
            assert max(sizes) < 1_100_000
        finally:
            await fetcher.close()


@pytest.mark.connected
async def test_reading_up_to_somewhere_lasts_as_long_as_it_gets_on(
    broker: str, prefix: str
) -> None:
    """How much there is to read says nothing about whether reading it has failed."""
    topic = f"{prefix}t"
    silence_s = 1.0
    async with _producing(broker, [topic]) as producer:
        fetcher = Fetcher(Settings(bootstrap_servers=broker), {(topic, 0): 0})
        await fetcher.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                began = time.monotonic()
                while time.monotonic() < began + 2.5 * silence_s:
                    await producer.send_and_wait(topic, b"one more")
                    assert await fetcher.progress(silence_s)
                with pytest.raises(Recoverable, match=rf"no record came .* {topic}\[0\] offset"):
                    await fetcher.progress(silence_s)
        finally:
            await fetcher.close()


class _Refusing:
    """Leads all partitions and refuses all but one of them."""

    def __init__(self, good: Partition) -> None:
        self.good = good
        self.cluster = self

    def leader_for_partition(self, partition: object) -> int:
        return 1

    def force_metadata_update(self) -> None: ...

    async def send(self, node: int, request: Any) -> Any:
        not_leader = 6
        topics: list[tuple[str, list[Any]]] = [
            (topic, [(n, 0 if (topic, n) == self.good else not_leader, 7, 7, 0, [], b"")])
            for topic, parts in request._topics
            for n, *_ in parts
        ]
        return SimpleNamespace(topics=topics, API_VERSION=10)


async def test_refused_partitions_delay_neither_each_other_nor_the_good_ones() -> None:
    good = ("t", 29)
    fetcher = Fetcher(Settings(), {("t", number): 0 for number in range(30)})
    client: Any = _Refusing(good)
    fetcher._client = client
    async with asyncio.timeout(10 * RETRY_S):  # in sequence they would take 29 of those
        while fetcher.lag({good: 0})[good] != 7:
            await fetcher.fetch()
        asked = set(fetcher._protocol.resting)
        assert asked == {("t", number) for number in range(29)}, "these rest, and only these"


async def test_a_broker_that_refuses_a_partition_does_not_answer_for_it() -> None:
    clock = ManualClock()
    refused: Any = _Refusing(("t", 1))
    answered: Any = _Refusing(("t", 0))
    fetcher = Fetcher(Settings(), {("t", 0): 0}, clock=clock)
    fetcher._client = refused
    clock.advance(5_000)
    await fetcher.fetch()
    assert fetcher.silent_s() == 5
    fetcher._client = answered
    clock.advance(5_000)
    async with asyncio.timeout(10):
        while fetcher.silent_s() > 1:
            clock.advance(200)  # a refused partition rests for a while
            await fetcher.fetch()


@asynccontextmanager
async def _producing(
    broker: str, topics: list[str], **more: Any
) -> AsyncIterator[AIOKafkaProducer]:
    """New topics of one partition, and a producer."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    producer = AIOKafkaProducer(bootstrap_servers=broker, **more)
    await admin.start()
    await producer.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in topics])
        yield producer
    finally:
        await producer.stop()
        await admin.close()


async def _values(fetcher: Fetcher) -> list[bytes | None]:
    return [record.value for batch in await fetcher.fetch() for record in unpack(batch)]


@pytest.mark.connected
async def test_a_topic_that_goes_and_comes_back_is_read_on(
    broker: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other partition still has a leader: so nothing but the reader asks for this one."""
    caplog.set_level(logging.WARNING, "streams.kafka.fetch")
    stays, goes = f"{prefix}stays", f"{prefix}goes"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    fetcher = Fetcher(Settings(bootstrap_servers=broker), {(stays, 0): 0, (goes, 0): 0})
    await admin.start()
    await producer.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in (stays, goes)])
        await fetcher.start()
        async with asyncio.timeout(DEADLINE_S):
            while any(fetcher.lag(fetcher.positions()).values()):
                await fetcher.fetch()
            await admin.delete_topics([goes])
            while "no broker leads" not in caplog.text:
                await fetcher.fetch()
            await producer.send_and_wait(stays, b"meanwhile")
            batches = await fetcher.fetch()
            while not batches:
                batches = await fetcher.fetch()
            assert [batch.topic for batch in batches] == [stays]
            assert fetcher.lag(fetcher.positions()) == {(stays, 0): 0, (goes, 0): 1}

            await admin.create_topics([NewTopic(goes, 1, 1)])
            while "has a leader again" not in caplog.text:
                await fetcher.fetch()
            await producer.send_and_wait(goes, b"news")
            batches = await fetcher.fetch()
            while not batches:
                batches = await fetcher.fetch()
            values = [record.value for batch in batches for record in unpack(batch)]
            assert values == [b"news"]
            assert not any(fetcher.lag(fetcher.positions()).values())
        said = [line for line in caplog.messages if f"{goes}[0]" in line]
        assert sum("no broker leads" in line for line in said) == 1
        assert sum("has a leader again" in line for line in said) == 1
    finally:
        await fetcher.close()
        await producer.stop()
        await admin.close()

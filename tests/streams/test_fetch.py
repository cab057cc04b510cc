"""Fetching without a group: where no broker answers, where none leads a partition, and the lag."""

import asyncio
import logging
import socket

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.batch import unpack
from schemas.errors import Recoverable
from streams.fetch import Fetcher
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
    fetcher = Fetcher(Settings(), {FIRST: 10, SECOND: 4}, ends=ends)
    assert fetcher.lag({FIRST: 7, SECOND: 4}) == {FIRST: 3, SECOND: 6}
    assert fetcher.lag({FIRST: 10, SECOND: 12}) == {FIRST: 0, SECOND: 0}


def test_a_log_of_which_nothing_was_heard_is_not_one_without_lag() -> None:
    fetcher = Fetcher(Settings(), {FIRST: 3, SECOND: 3}, ends={FIRST: 3})
    assert fetcher.lag({FIRST: 3, SECOND: 3}) == {FIRST: 0, SECOND: 1}


@pytest.mark.connected
async def test_a_topic_that_goes_and_comes_back_is_read_on(
    broker: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other partition still has a leader: so nothing but the reader asks for this one."""
    caplog.set_level(logging.WARNING, "streams.fetch")
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

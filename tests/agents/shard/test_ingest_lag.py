"""The lag of a shard on a real broker: it is 0 only if everything is folded."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from agents.tools.publish import Chunk, publish
from schemas.errors import Recoverable
from schemas.records import codec
from streams.kafka import topics as topic_admin
from streams.kafka.log import Record
from streams.kafka.step import StepProducer
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.shard import DEADLINE_S, Event, alone, events, start

__all__ = ["alone"]

pytestmark = pytest.mark.connected


def records(topics: Topics, sent: list[Event]) -> list[Record]:
    return [Record(topics.event(kind), b"any", codec.encode(kind, event)) for kind, event in sent]


async def write(settings: Settings, sent: list[Event]) -> None:
    """As a producer without transactions does."""
    await publish(
        settings,
        [
            Chunk(f"interactions.{kind}", [b"any"], [codec.encode(kind, event)])
            for kind, event in sent
        ],
    )


async def write_in_transactions(settings: Settings, sent: list[Event]) -> None:
    """Several transactions, the last one aborted: so each log ends in records of no use."""
    topics = Topics(settings.prefix)
    writer = StepProducer(settings, f"{settings.prefix}writer")
    await writer.start()
    for at in range(0, len(sent), 500):
        await writer.commit(records(topics, sent[at : at + 500]))
    await writer.close()
    spoilt = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, transactional_id=f"{settings.prefix}spoilt"
    )
    await spoilt.start()
    await spoilt.begin_transaction()
    for record in records(topics, events(20, seed=9)):
        await spoilt.send_and_wait(record.topic, record.value, key=record.key)
    await spoilt.abort_transaction()
    await spoilt.stop()


@pytest.mark.parametrize("how", [write, write_in_transactions])
async def test_there_is_lag_until_a_backlog_is_folded_and_none_afterwards(
    alone: Settings, how: Callable[[Settings, list[Event]], Awaitable[None]]
) -> None:
    sent = events(3000)
    await how(alone, sent)
    stand = await start(alone)
    lags: list[int] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not lags or lags[-1]:
                status = stand.shard.status
                lags.append(sum(status.lag.values()))
                if not lags[-1]:
                    # the offsets that the events have, whatever of no use comes after them
                    assert sum(status.cursor.values()) >= len(sent)
                await asyncio.sleep(0)
        assert lags[0] >= len(sent)
        # a question that no broker answered in time counts for one
        assert all(later <= former + 8 for former, later in pairwise(lags))
        assert len(set(lags)) > 5, "folded step by step, and seen so"
        await stand.until(lambda: stand.shard._ingest.events == len(sent))
    finally:
        await stand.stop()


async def test_events_behind_an_open_transaction_are_lag_and_named(alone: Settings) -> None:
    """They are acknowledged, and no shard folds them before the producer ends its transaction."""
    click = Topics(alone.prefix).event("click")
    writer = AIOKafkaProducer(
        bootstrap_servers=alone.bootstrap_servers, transactional_id=f"{alone.prefix}slow"
    )
    stand = await start(alone)
    await writer.start()
    try:
        await stand.until(lambda: not any(stand.shard.status.lag.values()))
        await writer.begin_transaction()
        for number in range(50):
            clicked = {"id": f"c{number}", "user_id": "u", "time": 1_760_000_000_000}
            value = codec.encode("click", clicked | {"campaign_id": "a", "channel": "EMAIL"})
            await writer.send_and_wait(click, value, key=b"u")
        await stand.until(lambda: stand.shard.status.lag[click] == 50)
        assert stand.shard.status.held_back == {click: 50}
        assert stand.shard.status.events_behind == stand.shard.status.events_held_back == 50
        await writer.commit_transaction()
        await stand.until(lambda: stand.shard._ingest.events == 50)
        await stand.until(lambda: not any(stand.shard.status.lag.values()))
        assert stand.shard.status.held_back == {}
    finally:
        await writer.stop()
        await stand.stop()


async def test_an_input_that_goes_and_comes_back_is_read_on(alone: Settings) -> None:
    click = Topics(alone.prefix).event("click")
    stand = await start(alone)
    admin = AIOKafkaAdminClient(bootstrap_servers=alone.bootstrap_servers)
    await admin.start()
    try:
        await stand.until(lambda: not any(stand.shard.status.lag.values()))
        await admin.delete_topics([click])
        await stand.until(lambda: stand.shard.status.lag[click] > 0)
        await stand.send(events(20), 0)
        assert stand.shard.status.lag[click] > 0
        await topic_admin.create(alone)
        # a worker starts such a shard again, with the new topic's id
        with pytest.raises(Recoverable, match="created again before it was read"):
            async with asyncio.timeout(DEADLINE_S):
                await stand.task
    finally:
        await stand.stop()
    stand = await start(alone)
    try:
        await stand.until(lambda: stand.shard.status.lag[click] == 0)
        clicked = {"id": "c", "user_id": f"{1:024x}", "time": 1_760_000_000_000}
        await stand.send([("click", clicked | {"campaign_id": "a", "channel": "EMAIL"})], 0)
    finally:
        await admin.close()
        await stand.stop()

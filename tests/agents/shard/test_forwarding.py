"""Events of another shard, with any timestamps of their producer: none is lost on the way."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from agents.resources.budget import Budget
from agents.shard.shard import Shard
from agents.tools.oracle import expect, rows_of
from agents.views.state_view import StateView
from schemas.records import codec
from schemas.tables.interaction import KEY
from streams.kafka import topics as topic_admin
from streams.kafka.environment import Environment
from streams.kafka.fetch import Fetcher
from streams.kafka.offsets import bounds
from streams.kafka.purge import Purge
from streams.kafka.topic_repair import set_configs
from streams.kafka.topics import Topics
from streams.settings import Settings, load
from streams.state.state_store import shared_cache

pytestmark = pytest.mark.connected

DEADLINE_S = 60.0
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SOURCE = "campaign:c"


@pytest.fixture
def two(broker: str, prefix: str, tmp_path: Path) -> Settings:
    """Two shards, behind a prefix that does not end in a dot."""
    flags = {
        "bootstrap_servers": broker,
        "prefix": prefix.replace(".", "-"),
        "partitions": 2,
        "data_dir": tmp_path / "data",
    }
    return load(flags, env={}, file=tmp_path / "none.toml")


@asynccontextmanager
async def running(settings: Settings, partition: int) -> Any:
    view = StateView()
    view.caught_up.set()

    async def deliver(shard: Shard, fetched: object) -> None:
        await shard.offer(fetched)

    cache = shared_cache(8 << 20)
    shard = Shard(
        Environment.of(settings),
        partition,
        view,
        cache,
        Budget(settings),
        deliver,
    )
    task = asyncio.create_task(shard.run())
    try:
        yield shard, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stamps(now: int) -> Iterator[int]:
    """Of a month ago, and ahead of the broker's clock by more than it takes as a rule."""
    while True:
        yield now - 30 * DAY_MS
        yield now + 2 * HOUR_MS


async def test_old_and_early_stamps_are_no_reason_to_lose_an_event(two: Settings) -> None:
    await topic_admin.create(two)
    topics = Topics(two.prefix)
    sends = topics.event("send")
    now = int(time.time() * 1000)
    admin = AIOKafkaAdminClient(bootstrap_servers=two.bootstrap_servers)
    await admin.start()
    await set_configs(
        admin,
        {
            sends: {
                "message.timestamp.type": "CreateTime",
                "message.timestamp.after.max.ms": str(DAY_MS),
            }
        },
    )
    await admin.close()
    events: list[dict[str, Any]] = [
        {"id": str(n), "user_id": f"u{n}", "time": min(stamp, now) - n}
        | {"campaign_id": "c", "channel": "EMAIL"}
        for n, stamp in zip(range(1_000), stamps(now), strict=False)
    ]
    # as much after its producer's stamp as a record may be: more than a day after the broker's
    for event in events[1::100]:
        event["time"] = now + 2 * HOUR_MS + DAY_MS - 1
    async with (
        AIOKafkaProducer(bootstrap_servers=two.bootstrap_servers) as producer,
        asyncio.timeout(DEADLINE_S),
    ):
        # the broker takes to a changed setting a while after it has acknowledged it
        first = codec.encode("send", events[0])
        stamp = next(stamps(now))
        while True:
            sent = await producer.send_and_wait(sends, first, None, 0, stamp)
            if sent.timestamp_type == 0:
                break
            await asyncio.sleep(0.05)
        futures = [
            await producer.send(sends, codec.encode("send", event), partition=0, timestamp_ms=stamp)
            for event, stamp in zip(events, stamps(now), strict=False)
        ]
        await asyncio.gather(*futures)
    expected = rows_of(expect([("send", event) for event in events]), SOURCE)

    found: dict[Any, Any] = {}
    place = (topics.repartition, 1)
    for partition in (0, 1):
        async with running(two, partition) as (shard, task), asyncio.timeout(DEADLINE_S):
            while not shard.ready or any(shard.status.lag.values()):
                if task.done():
                    task.result()
                await asyncio.sleep(0.02)
            async for frame in shard.read(SOURCE, None):
                for *key, first, last in frame.select(*KEY, "first", "last").iter_rows():
                    found[tuple(key)] = (first, last)
            if partition == 0:
                fetcher = Fetcher(two, {place: 0})
                await fetcher.start()
                (batch, *_) = await fetcher.fetch()
                await fetcher.close()
                assert batch.log_append_time
                assert abs(batch.max_timestamp - now) < HOUR_MS
            else:
                end = shard._store.table.cursor[topics.repartition]
                purge = shard._purge()
                assert isinstance(purge, Purge)
                assert await purge.once()
                assert (await bounds(two, [place]))[place][0] == end
    assert found == expected

"""A worker under all hostile inputs at once continues, stays small, and gives correct answers."""

import asyncio
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topic_specs import EVENTS
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster
from tests.rigs.faults.observer import Observer
from tests.rigs.faults.story import under_way
from tests.rigs.hostile.batches import hostile_batches
from tests.rigs.hostile.damage import bytes_of, damaged_object
from tests.rigs.hostile.http_requests import requests
from tests.rigs.hostile.raw_produce import produce

REQUESTS = 2_000
RECORDS = 3_000
BATCHES = 60
AT_ONCE = 32
ANSWER_S = 5.0
BUDGET_MB = 300 + 500
"""The worker's budget in these settings, and what the process weighs besides."""

GOOD: dict[str, dict[str, Any]] = {
    "definition": {"key": "campaign:hostile", "status": "ACTIVE", "tags": ["2026"]},
    "command": {"type": "restore", "sources": ["campaign:hostile"], "request_id": "r"},
    "user": {"user_id": "hostile", "aliases": ["x"]},
    "report": {"partition": 0, "time": 1_760_000_000_000, "items": []},
}


async def poison(settings: Settings, seed: int) -> None:
    """Hostile records to every topic that a worker reads and others can write to."""
    rng = Random(f"siege {seed}")
    topics = {event: f"interactions.{event}" for event in EVENTS} | {
        "definition": "catalog",
        "command": "control",
        "user": "users",
        "report": "shard-reports",
    }
    event = {"id": "h", "user_id": "hostile", "time": int(time.time() * 1000)}
    chunks = []
    for name, topic in topics.items():
        good = GOOD.get(name, event)
        values, keys = [], []
        for _ in range(RECORDS // len(topics)):
            hostile = damaged_object(rng, good)
            text = codec.encode(name, good)
            values.append(
                bytes_of(rng, text, repr(hostile).replace("'", '"').encode("utf-8", "replace"))
            )
            # the broker itself refuses a record without a key in a compacted topic
            none = b"" if topic in ("catalog", "users") else None
            keys.append(rng.choice((b"hostile", b"campaign:hostile", b"\xff", none)))
        chunks.append(Chunk(topic, keys, values, "crc32"))
    # events that belong to another shard, forged; and garbage
    chunks.append(
        Chunk("repartition", [b"hostile", None], [codec.encode("send", event), b"\xff"], "crc32")
    )
    await publish(settings, chunks)
    names = Topics(settings.prefix)
    for number, batch in enumerate(islice(hostile_batches(seed), BATCHES)):
        # to an event's topic, and as if it were on its way to its shard
        topic = names.event(batch.event) if number % 5 else names.repartition
        partition = number % settings.partitions
        await produce(settings.bootstrap_servers, topic, partition, [batch.wire])


async def knock(port: int, seed: int) -> Counter[str]:
    """Hostile requests, a few at once; how each ended."""
    ends: Counter[str] = Counter()
    waiting = asyncio.Semaphore(AT_ONCE)

    async def one(raw: bytes) -> None:
        async with waiting:
            ends[await _exchange(port, raw)] += 1

    async with asyncio.TaskGroup() as group:
        for raw in requests(seed, REQUESTS):
            group.create_task(one(raw))
    return ends


async def _exchange(port: int, raw: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(raw)
            line = await reader.readline()
            return line.decode("latin-1").strip()[:12] or "closed"
    except TimeoutError:
        return "silent"  # half a request: it waits for the rest
    except ConnectionError:
        return "closed"
    finally:
        writer.close()


@pytest.mark.connected
@pytest.mark.slow
async def test_a_worker_under_siege_answers_right_and_stays_small(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    async with under_way(settings, tmp_path, seed=5) as (cluster, traffic):
        (slot,) = cluster.slots
        assert slot.child is not None
        observer = Observer(cluster, traffic.sources, seed=5)
        watching = asyncio.create_task(observer.run(0.2))
        for seed in range(3):
            await traffic.some(10)
            _, ends = await asyncio.gather(
                poison(cluster.settings, seed), knock(small_port(cluster), seed)
            )
            assert not any(end.startswith("HTTP/1.1 500") for end in ends), ends
        await traffic.some(10)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert not observer.violations
        assert observer.answers[200]
        await cluster.holds(traffic.expected.interactions, traffic.sources)
        await cluster.ready()
        peak = slot.child.peak() >> 20
        assert peak < BUDGET_MB, f"{peak} MB"
        log = slot.log.read_text(errors="replace")
    for word in ("Traceback", "panicked", "never retrieved", "MemoryError", "recovering in"):
        before, found, after = log.partition(word)
        assert not found, before[-2000:] + found + after[:2000]


def small_port(cluster: Cluster) -> int:
    """Where the only worker listens."""
    return cluster.slots[0].settings.http_port

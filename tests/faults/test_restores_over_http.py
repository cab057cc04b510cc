"""A thousand restores over HTTP while workers are killed: each has one outcome, sent once."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from schemas.records.lifecycle import Outcome
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster, records, small, until

RESTORES = 1_000
KILLS = 8
CLIENTS = 16
GAP_S = (1.0, 4.0)
"""Between two kills: from within a start to long enough for some work."""
_TRIES_S = 120.0
_BASE_MS = 1_767_225_600_000


@pytest.mark.connected
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_thousand_restores_have_one_outcome_each_while_workers_are_killed(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    settings = small(settings, retention="P1D")
    sources = [f"campaign:c{n}" for n in range(RESTORES)]
    await _published(settings, sources)
    rng = Random(12)
    with Cluster(settings, tmp_path, workers=3) as cluster:
        cluster.start()
        await cluster.ready()
        async with aiohttp.ClientSession() as session:
            await _expired(cluster, session, len(sources))
            names: Iterator[int] = iter(range(RESTORES))
            asking = [
                asyncio.create_task(_client(cluster, session, names, Random(number)))
                for number in range(CLIENTS)
            ]
            killing = asyncio.create_task(_killer(cluster, rng))
            try:
                await asyncio.gather(*asking)
            finally:
                killing.cancel()
                with suppress(asyncio.CancelledError):
                    await killing
            cluster.start()
            await cluster.ready()
            await _over(cluster, session)
            for slot in cluster.slots:
                found = [await _request(session, f"{slot.url}/restores/r{n}") for n in (0, 999)]
                assert [one["state"] for one in found] == ["finished"] * 2
    await _sent_once(cluster.settings, topics, sources)


async def _published(settings: Settings, sources: list[str]) -> None:
    """One event and the definition of each."""
    events, definitions = [], []
    for number, source in enumerate(sources):
        bare = source.partition(":")[2]
        event = {"id": f"e{number}", "user_id": f"u{number % 50}", "time": _BASE_MS,
                 "campaign_id": bare, "channel": "EMAIL"}  # fmt: skip
        events.append((f"u{number % 50}".encode(), codec.encode("send", event)))
        record = {"key": source, "status": "STOPPED", "name": source, "tags": ["t"],
                  "updated_at": _BASE_MS}  # fmt: skip
        definitions.append((source.encode(), codec.encode("definition", record)))
    for topic, pairs in (("interactions.send", events), ("catalog", definitions)):
        keys, values = zip(*pairs, strict=True)
        await publish(settings, [Chunk(topic, keys, values)])


async def _expired(cluster: Cluster, session: aiohttp.ClientSession, count: int) -> None:
    url = cluster.slots[0].url

    async def known() -> bool:
        async with session.get(f"{url}/sources?state=STOPPED&limit=1") as answer:
            return answer.status == 200 and (await answer.json())["total"] == count

    await until(known, 60, "all sources are known", cluster.tails)
    async with session.post(f"{url}/requests", json={"type": "expire", "tag": "t"}) as answer:
        assert answer.status == 202, await answer.text()
        where = answer.headers["Location"]

    async def over() -> bool:
        return bool((await _request(session, url + where))["state"] == "finished")

    await until(over, 120, "all sources have expired", cluster.tails)


async def _client(
    cluster: Cluster, session: aiohttp.ClientSession, names: Iterator[int], rng: Random
) -> None:
    """Asks for one restore after the other, each at some worker until one has accepted it."""
    for number in names:
        deadline = time.monotonic() + _TRIES_S
        while True:
            assert time.monotonic() < deadline, f"r{number} was accepted by nobody"
            url = rng.choice(cluster.slots).url
            try:
                async with session.post(
                    f"{url}/restores",
                    json={"sources": [f"campaign:c{number}"]},
                    headers={"Idempotency-Key": f"r{number}"},
                    timeout=aiohttp.ClientTimeout(20),
                ) as answer:
                    if answer.status == 202:
                        break
                    assert answer.status == 503, await answer.text()
            except (aiohttp.ClientError, TimeoutError):
                pass  # killed while it answered, or not there
            await asyncio.sleep(0.05)


async def _killer(cluster: Cluster, rng: Random) -> None:
    for _ in range(KILLS):
        # not a wait for anything: the instant of the next kill, by seed
        await asyncio.sleep(rng.uniform(*GAP_S))
        victim = rng.choice(cluster.slots)
        victim.kill()
        victim.start()


async def _request(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def _over(cluster: Cluster, session: aiohttp.ClientSession) -> None:
    """Wait until every restore is over, wherever one asks."""

    async def over() -> bool:
        found = [
            await _request(session, f"{slot.url}/restores?state=finished&limit=1000")
            for slot in cluster.slots
        ]
        return all(len(one["requests"]) == RESTORES for one in found)

    await until(over, 120, "every restore is finished", cluster.tails)


async def _sent_once(settings: Settings, topics: Topics, sources: list[str]) -> None:
    results = await records(settings, topics.control_results, "result")
    asked = Counter(one["request_id"] for one in await records(settings, topics.control, "command"))
    ends: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for one in results:
        if one["request_id"].startswith("r") and Outcome(one["outcome"]).final:
            assert one["outcome"] == "completed", one
            ends[one["request_id"], one["source"]].append(one["event_id"])
    assert len(ends) == 2 * RESTORES, "one of the source and one of the whole"
    for (request_id, _), event_ids in ends.items():
        assert len(set(event_ids)) == 1
        # sent again only to who has asked again
        assert len(event_ids) <= asked[request_id]
    restored = Counter(
        one["source"] for one in await records(settings, topics.restored, "restored")
    )
    assert restored == Counter(sources)

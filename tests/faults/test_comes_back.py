"""A worker that was suspended while others took over its shards answers nothing from before."""

import asyncio
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster, Partial, Slot, define, small, until

pytestmark = [pytest.mark.connected, pytest.mark.slow]

START_MS = 1_760_000_000_000
USERS = 200
SOURCE = "campaign:returns"
OTHER = "campaign:other"
RIGHT = 60
"""So many right answers of each worker, once both are ready, end the test."""


class Asker:
    """Asks every worker again and again, and counts the answers that look complete."""

    def __init__(self, cluster: Cluster) -> None:
        self.right: Counter[int] = Counter()
        self.wrong: Counter[int] = Counter()
        self._cluster = cluster

    async def run(self, slot: Slot) -> None:
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                with suppress(Partial):
                    rows = await self._cluster.rows(session, SOURCE, slot)
                    (self.right if len(rows) == USERS else self.wrong)[slot.number] += 1
                await asyncio.sleep(0.02)


async def test_a_worker_that_comes_back_does_not_answer_from_a_former_life(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    ours = small(settings)
    await define(ours, SOURCE, "ACTIVE", START_MS)
    await publish(ours, [sends()])
    with Cluster(ours, tmp_path) as cluster:
        cluster.start()
        await cluster.ready()
        await complete(cluster)
        await define(ours, SOURCE, "STOPPED", START_MS + 1)
        await cluster.states_are({SOURCE: "EXPIRED"})
        held = {slot.number: await shards(slot) for slot in cluster.slots}
        # whoever has the last shards now is given those again
        other, still = sorted(cluster.slots, key=lambda slot: max(held[slot.number]))
        asker = Asker(cluster)
        still.signal(signal.SIGSTOP)
        # the answer for which its view of the states waits: what comes later comes at once
        await define(ours, OTHER, "ACTIVE", START_MS)
        await cluster.states_are({OTHER: "ACTIVE"})
        # the other worker is given the shards of both, and brings the source back in all
        await define(ours, SOURCE, "ACTIVE", START_MS + 2)
        await cluster.states_are({SOURCE: "ACTIVE"})
        asking = [asyncio.create_task(asker.run(slot)) for slot in cluster.slots]
        still.signal(signal.SIGCONT)
        try:
            await cluster.ready()
            asker.right.clear()

            async def asked() -> bool:
                heard = asker.right + asker.wrong
                return all(heard[slot.number] >= RIGHT for slot in cluster.slots)

            await until(asked, 60, "both workers have answered", cluster.tails)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        print(f"wrong {dict(asker.wrong)}, right {dict(asker.right)}")
        assert not asker.wrong, cluster.tails()
        assert await shards(still) == held[still.number], "it has tested nothing"
        assert still.alive
        assert other.alive


async def shards(slot: Slot) -> list[int]:
    """Which shards the worker holds."""
    async with aiohttp.ClientSession() as session, session.get(f"{slot.url}/status") as answer:
        return [shard["partition"] for shard in (await answer.json())["shards"]]


async def complete(cluster: Cluster) -> None:
    """Wait until every user's row is there."""

    async def there() -> bool:
        async with aiohttp.ClientSession() as session:
            with suppress(Partial):
                return len(await cluster.rows(session, SOURCE)) == USERS
        return False

    await until(there, 60, f"{USERS} rows", cluster.tails)


def sends() -> Chunk:
    """One send to each user."""
    users = [f"{number * 2_654_435_761 % 2**96:024x}" for number in range(USERS)]
    events = [
        {
            "id": f"send-{user}",
            "user_id": user,
            "time": START_MS,
            "campaign_id": SOURCE.partition(":")[2],
            "channel": "EMAIL",
        }
        for user in users
    ]
    return Chunk(
        "interactions.send",
        [user.encode() for user in users],
        [codec.encode("send", event) for event in events],
    )

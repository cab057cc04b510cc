"""A worker that is suspended until it has lost its shards must not disturb the new owner."""

import signal
from pathlib import Path

import aiohttp
import pytest

from agents.tools.oracle import Interactions
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster, Partial, small, until
from tests.rigs.faults.traffic import Traffic


@pytest.mark.connected
@pytest.mark.slow
async def test_a_suspended_worker_gives_way_and_comes_back(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    ours = small(settings)
    traffic = Traffic(ours, 9)
    with Cluster(ours, tmp_path) as cluster:
        cluster.start()
        await cluster.ready()
        await traffic.some(30)
        await cluster.holds(traffic.expected.interactions, traffic.sources)
        still, other = cluster.slots
        still.signal(signal.SIGSTOP)
        await traffic.some(30)
        wanted = traffic.expected.interactions

        async def other_has_all() -> bool:
            async with aiohttp.ClientSession() as session:
                found: Interactions = {}
                for source in traffic.sources:
                    try:
                        found |= await cluster.rows(session, source, other)
                    except Partial:
                        return False
            return found == wanted

        await until(other_has_all, 90, "the other worker has all shards", other.tail)
        still.signal(signal.SIGCONT)
        await traffic.some(30)
        await cluster.ready()
        await cluster.holds(traffic.expected.interactions, traffic.sources)
        assert still.alive
        assert other.alive

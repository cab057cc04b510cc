"""The broker stops and returns, or is not there yet: the worker waits, says so, and continues."""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streams.devbroker.broker import LocalBroker
from streams.kafka import topics as topic_admin
from streams.settings import Settings, load
from tests.rigs.faults.harness import SMALL, Cluster, until
from tests.rigs.faults.traffic import Traffic

pytestmark = [pytest.mark.connected, pytest.mark.slow]


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker of this test alone, as it is stopped here."""
    env = {name: v for name, v in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    with LocalBroker(tmp_path / "broker", heap="512m", env=env) as local:
        yield local


@pytest.fixture
async def own_settings(own_broker: LocalBroker, tmp_path: Path) -> Settings:
    """Small settings on that broker, and their topics."""
    flags = {"bootstrap_servers": own_broker.bootstrap_servers, "prefix": "own.", "partitions": 2}
    settings = load({**flags, **SMALL}, env={}, file=tmp_path / "none.toml")
    await topic_admin.create(settings)
    return replace(settings, data_dir=tmp_path / "data")


async def test_a_worker_waits_for_its_broker_and_outlives_it(
    own_broker: LocalBroker, own_settings: Settings, tmp_path: Path
) -> None:
    traffic = Traffic(own_settings, 6)
    await traffic.some(10)
    own_broker.stop()
    with Cluster(own_settings, tmp_path, workers=1) as cluster:
        cluster.start()
        await says(cluster, f"waiting for the broker at {own_broker.bootstrap_servers}")
        own_broker.start()
        await cluster.ready()
        await cluster.holds(traffic.expected.interactions, traffic.sources)
        await traffic.some(30)
        await cluster.holds(traffic.expected.interactions, traffic.sources)
        said = cluster.slots[0].log.read_text()
        own_broker.stop()
        await says(cluster, "waiting for the broker at", len(said))
        said = cluster.slots[0].log.read_text()
        own_broker.start()
        await says(cluster, "answers", len(said))
        await cluster.ready()
        await traffic.some(30)
        await cluster.holds(traffic.expected.interactions, traffic.sources)
        child = cluster.slots[0].child
        assert child is not None
        child.send(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 60.0) == 0


async def says(cluster: Cluster, words: str, after: int = 0) -> None:
    """Wait until the worker's log has these words, after so many characters."""

    async def said() -> bool:
        assert cluster.slots[0].alive, cluster.tails()
        return words in cluster.slots[0].log.read_text()[after:]

    await until(said, 60, f"the worker says {words!r}", cluster.tails)

"""The peers do the job: their durable state equals the oracle's."""

import pytest

from agents.tools.bench.compare import oracle
from agents.tools.bench.field import Ground, field
from agents.tools.bench.peers import run as peers
from agents.tools.bench.peers.state import state
from agents.tools.demo.bench_events import bench_events
from agents.tools.publish import publish

EVENTS = 1_500


@pytest.mark.connected
@pytest.mark.slow
@pytest.mark.parametrize(
    ("peer", "package", "processes"), [("faust_table", "faust", 1), ("quix", "quixstreams", 2)]
)
async def test_a_peers_state_equals_the_oracles(
    broker: str, peer: str, package: str, processes: int
) -> None:
    if not peers.available(package):
        pytest.skip(f"{package} is not installed: it comes with the extra `bench`")
    async with field(Ground(broker), 2) as here:
        await publish(here.settings, bench_events(EVENTS, 10))
        sample = await peers.run(here, peer, EVENTS, processes)
        assert sample.events == EVENTS
        assert await state(here, peer) == oracle(EVENTS, 10, "exponential")


@pytest.mark.connected
async def test_bare_consumption_sees_every_record(broker: str) -> None:
    async with field(Ground(broker), 2) as here:
        await publish(here.settings, bench_events(EVENTS, 10))
        sample = await peers.run(here, "bare", EVENTS)
        assert sample.events == EVENTS
        assert sample.seconds > 0

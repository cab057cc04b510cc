"""Workers killed at random times: nothing lost, no event twice, never half a source."""

import asyncio
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import SMALL, Cluster, records
from tests.rigs.faults.observer import Observer
from tests.rigs.faults.operator import Operator
from tests.rigs.faults.traffic import Traffic

KILLS = int(os.environ.get("EMBERLINE_FAULT_KILLS", "30"))
SEED = int(os.environ.get("EMBERLINE_FAULT_SEED", "7"))
GAP_S = (0.3, 11.0)
"""Between two kills: from within a start to long enough for a rebalance and some work."""


@pytest.mark.connected
@pytest.mark.slow
@pytest.mark.timeout(600 + 15 * KILLS)
async def test_killed_workers_lose_nothing_and_repeat_no_event(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    small = replace(settings, **SMALL)  # type: ignore[arg-type]  # read by field, as in load
    rng = Random(f"kills {SEED}")
    traffic = Traffic(small, SEED)
    with Cluster(small, tmp_path) as cluster:
        operator = Operator(cluster, traffic.sources, SEED)
        observer = Observer(cluster, traffic.sources, SEED)
        for source in traffic.sources:
            await operator.define(source, "ACTIVE")
        cluster.start()
        await cluster.ready()
        await cluster.states_are(dict.fromkeys(traffic.sources, "ACTIVE"))
        publishing = asyncio.create_task(traffic.run(0.15))
        beside = [
            asyncio.create_task(operator.run(0.5)),
            asyncio.create_task(observer.run(0.1)),
        ]
        try:
            for _ in range(KILLS):
                # not a wait for anything: the instant of the next kill, by seed
                await asyncio.sleep(rng.uniform(*GAP_S))
                victim = rng.choice(cluster.slots)
                victim.kill()
                for task in (publishing, *beside):
                    if task.done():
                        task.result()
                victim.start()
            await cluster.ready()
        finally:
            traffic.stop()
            await publishing
            for task in beside:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        for source in traffic.sources:
            await operator.define(source, "ACTIVE")
        await cluster.states_are(dict.fromkeys(traffic.sources, "ACTIVE"))
        await cluster.holds(traffic.expected.interactions, traffic.sources)
        assert not observer.violations
        await _told_once(cluster, topics)
        print(f"{KILLS} kills, {traffic.expected.events} events, {dict(operator.actions)}, "
              f"answers {dict(observer.answers)}")  # fmt: skip


async def _told_once(cluster: Cluster, topics: Topics) -> None:
    """Every expiry and restore has one event, and the epochs of a source are consecutive."""
    expired = await records(cluster.settings, topics.expired, "expired")
    restored = await records(cluster.settings, topics.restored, "restored")
    ends = Counter((event["source"], event["epoch"]) for event in expired)
    returns = Counter((event["source"], event["epoch"]) for event in restored)
    assert expired, "no source expired: the test has tested nothing"
    assert restored, "no source was restored: the test has tested nothing"
    assert {what: times for what, times in ends.items() if times > 1} == {}
    assert {what: times for what, times in returns.items() if times > 1} == {}
    assert len({event["event_id"] for event in (*expired, *restored)}) == len(expired) + len(
        restored
    )
    for source, state in (await cluster.states()).items():
        epochs = sorted(epoch for name, epoch in ends if name == source)
        assert epochs == list(range(1, len(epochs) + 1)), f"{source}: epochs {epochs}"
        assert state["epoch"] == len(epochs)
        assert sorted(epoch for name, epoch in returns if name == source) == epochs

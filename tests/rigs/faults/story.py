"""A story: workers under load, operators at work, one fault, and the whole truth at the end.

Beginning and end are the same for every fault. At the end all rows are the oracle's, no answer in
between lacked rows, each expiry and restore has one event, and `emberline verify` finds everything
whole.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from aiokafka.errors import KafkaError

from agents.tools.process import environment_of
from schemas.errors import EmberlineError
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster, define, small, told_once
from tests.rigs.faults.observer import Observer
from tests.rigs.faults.operator import Operator
from tests.rigs.faults.traffic import Traffic

__all__ = ["Fault", "Story", "told", "under_way", "verified"]

VERIFY = (sys.executable, "-c", "from agents.cli import main; main()", "verify", "--json")
_VERIFY_S = 120.0
_READY_S = 240.0
_DEFINED_MS = 1_760_000_000_000


class Story:
    """What a fault may act on. Workers that end are started again, unless they are in `left`."""

    def __init__(self, cluster: Cluster, traffic: Traffic, rng: Random, seed: int) -> None:
        self.cluster = cluster
        self.traffic = traffic
        self.rng = rng
        self.operator = Operator(cluster, traffic.sources, seed)
        self.observer = Observer(cluster, traffic.sources, seed)
        self.did: Counter[str] = Counter()
        """What the fault has done."""
        self.left: set[int] = set()
        """Numbers of the workers that are left alone for now."""

    @property
    def settings(self) -> Settings:
        """Those of all workers."""
        return self.cluster.settings

    async def pause(self, low: float, high: float) -> None:
        """Let load go on for a time by seed: the instant of the next act is part of the fault."""
        await asyncio.sleep(self.rng.uniform(low, high))

    async def supervise(self) -> None:
        """Start again what has ended, as a supervisor of processes does."""
        while True:
            for slot in self.cluster.slots:
                if not slot.alive and slot.number not in self.left:
                    self.did["started again"] += 1
                    slot.start()
            await asyncio.sleep(0.3)


Fault = Callable[[Story], Awaitable[None]]


@asynccontextmanager
async def under_way(
    settings: Settings,
    folder: Path,
    seed: int,
    *,
    workers: int = 1,
    named: bool = False,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Cluster, Traffic]]:
    """Workers that are ready, with `variables` in their environment; and traffic, whose sources
    are all active.
    """
    ours = small(settings)
    traffic = Traffic(ours, seed)
    for source in traffic.sources:
        await define(ours, source, "ACTIVE", updated_at=_DEFINED_MS)
    with Cluster(ours, folder, workers, named=named) as cluster:
        for slot in cluster.slots:
            slot.variables.update(variables or {})
        cluster.start()
        await cluster.ready()
        await cluster.states_are(dict.fromkeys(traffic.sources, "ACTIVE"))
        yield cluster, traffic


async def told(
    settings: Settings,
    folder: Path,
    seed: int,
    fault: Fault,
    *,
    workers: int = 2,
    named: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Story:
    """Tell the story of a fault to its end; `named`: with static membership. Raises
    AssertionError.
    """
    begun = under_way(settings, folder, seed, workers=workers, named=named, variables=variables)
    async with begun as (cluster, traffic):
        story = Story(cluster, traffic, Random(f"{fault.__name__} {seed}"), seed)
        operator, observer = story.operator, story.observer
        publishing = asyncio.create_task(traffic.run(0.1))
        beside = [
            asyncio.create_task(_operating(story)),
            asyncio.create_task(observer.run(0.1)),
            asyncio.create_task(story.supervise()),
        ]
        try:
            await fault(story)
            for task in (publishing, *beside):
                if task.done():
                    task.result()
            story.left.clear()
            cluster.start()  # the last act may have ended one a moment ago
            await cluster.ready(_READY_S)
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
        assert not observer.violations, observer.violations[:3]
        story.did["expired"], story.did["restored"] = await told_once(cluster)
        await verified(cluster.settings, cluster)
        for slot in cluster.slots:
            story.did["recoveries"] += slot.log.read_text(errors="replace").count("recovering in")
        print(
            f"{fault.__name__}, seed {seed}: {dict(story.did)}, {traffic.expected.events} events, "
            f"{dict(operator.actions)}, answers {dict(observer.answers)}"
        )
        return story


async def _operating(story: Story) -> None:
    """The operator at work; while no broker answers, it tries again."""
    while True:
        try:
            await story.operator.run(0.4)
        # a broker that has just begun may not know its topics yet
        except (EmberlineError, KafkaError):
            story.did["the operator waited"] += 1
            await asyncio.sleep(0.5)


async def verified(settings: Settings, cluster: Cluster) -> None:
    """`emberline verify` says that everything is whole."""
    process = await asyncio.create_subprocess_exec(
        *VERIFY,
        env={**os.environ, **environment_of(settings)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_VERIFY_S):
            said, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    detail = f"{said.decode()[-3000:]} {error.decode()[-2000:]}"
    assert process.returncode == 0, f"{detail}\n{cluster.tails()}"
    assert json.loads(said)

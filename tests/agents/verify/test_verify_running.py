"""While workers take events in, expire and restore, a verification has no finding; nor has one
after they were killed.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from agents.verify.report import VerifyReport
from agents.verify.verify import VerifyOptions, verify
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import until
from tests.rigs.faults.operator import Operator
from tests.rigs.faults.story import under_way

pytestmark = pytest.mark.connected

RUNS = 5


async def test_nothing_is_found_while_workers_run_and_after_they_died(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    async with under_way(settings, tmp_path, seed=14) as (cluster, traffic):
        await traffic.some(5)
        operator = Operator(cluster, traffic.sources, seed=14)
        running = [
            asyncio.create_task(traffic.run(0.1)),
            asyncio.create_task(operator.run(0.1)),
        ]
        environment = Environment.of(cluster.slots[0].settings)
        reports: list[VerifyReport] = []

        async def moved() -> bool:
            # row by row as well, while shards have read some of the events
            rows = VerifyOptions(against_topics=len(reports) == 1)
            report = await verify(environment, rows)
            assert (report.findings, report.unchecked) == ([], []), cluster.tails()
            reports.append(report)
            archived = {one.figures["archived_segments"] for one in reports}
            return len(reports) >= RUNS and len(archived) > 1 and operator.actions["restore"] > 0

        await until(moved, 120, "sources expired and came back", cluster.tails)
        assert {one.figures["shards"] for one in reports} == {4}
        cluster.slots[0].kill()
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        offline = await verify(environment, VerifyOptions(against_topics=True))
        assert (offline.findings, offline.unchecked) == ([], [])
        assert offline.figures["events_read"] > 0
        assert offline.figures["hot_rows"] > 0

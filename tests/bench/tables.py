"""The cost of the tables beside the hot table during ingest.

    python -m tests.bench.tables [runs] [events]

Alternates between `bench ingest`'s worker with all tables, one without profile-wide rows, counts,
the window of event ids and the index by user, and bare consumption of the same topics. The worker
without them is the same program with those parts removed at its start.
"""

import asyncio
import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path

import polars as pl

from agents.cli import main
from agents.shard import intake
from agents.shard.deltas import DeltaEntry, parts
from agents.shard.jobs.indexer import Indexer
from agents.tools import process as worker_module
from agents.tools.bench.field import field, ground
from agents.tools.bench.ingest import taken_in
from agents.tools.bench.peers import run as peers
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.demo.bench_events import bench_events
from agents.tools.process import COMMAND
from agents.tools.publish import publish
from schemas.decode import ingest as ingest_module
from schemas.decode.ingest import Ingested
from schemas.decode.users import TakenUsers
from schemas.tables.counts import COUNT_SCHEMA
from schemas.tables.profile import PROFILE
from schemas.tables.repeats import Window
from streams.settings import load
from streams.state import compaction_plan

BARE = (sys.executable, "-c", "from tests.bench.tables import bare_worker; bare_worker()")


def bare_worker() -> None:
    """`emberline` with the hot table alone."""

    def rows_only(
        taken: Ingested, rows: pl.DataFrame, users: TakenUsers, size: int
    ) -> list[DeltaEntry]:
        return parts(dataclasses.replace(taken, events=0), rows, users, size)

    async def nothing(_: Indexer) -> bool:
        return False

    for where, name, part in (
        (compaction_plan, "wide", lambda rows: rows.filter(pl.col("source") == PROFILE)),
        (ingest_module, "_counts", lambda rows: pl.DataFrame(schema=COUNT_SCHEMA)),
        (ingest_module, "hashes", lambda ids: ids),
        (Window, "take", lambda _, found: pl.repeat(True, len(found), eager=True)),
        (intake, "parts", rows_only),
        (Indexer, "step", nothing),
    ):
        setattr(where, name, part)
    main()


async def measure(runs: int, events: int) -> None:
    """Print the rates and their ratios: medians of `runs`, and each run's."""
    found: dict[str, list[float]] = {"all tables": [], "hot table alone": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        settings = load({}, env={}, file=Path(folder) / "none.toml")
        with ground(settings, print) as where:
            for _ in range(runs):
                for name, command in (("all tables", COMMAND), ("hot table alone", BARE)):
                    worker_module.COMMAND = command
                    async with field(where, 4) as here:
                        await publish(here.settings, bench_events(events))
                        if name == "all tables":
                            bare = await peers.run(here, "bare", events)
                            found["bare"].append(bare.events / bare.seconds)
                        async with Watch(here.watch) as watch:
                            with Worker(here) as worker:
                                sample = await taken_in(here, worker, watch)
                    found[name].append(sample.events / sample.seconds)
                    print(f"{name}: {sample.events / sample.seconds:,.0f}/s {sample.cpu}")
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    for name, rates in found.items():
        print(f"{name:16} {medians[name]:>9,.0f}/s  {[round(rate) for rate in rates]}")
    print(f"all tables / hot table alone {medians['all tables'] / medians['hot table alone']:.2f}")
    print(f"hot table alone / bare {medians['hot table alone'] / medians['bare']:.2f}")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(measure(*(given + [3, 1_000_000][len(given) :])))

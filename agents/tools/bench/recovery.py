"""`bench recovery`: how fast a shard with a lost disk recovers, a worker with all of its shards,
and a worker that has its disks.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from agents.tools.bench.crowd import crowd
from agents.tools.bench.field import Field, Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.ingest import taken_in
from agents.tools.bench.machine import facts
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.publish import publish
from schemas.errors import Fatal

__all__ = ["RecoveryOptions", "recovery"]

#: The shard whose disk alone is gone.
_LOST = 0


@dataclass(frozen=True, slots=True)
class RecoveryOptions:
    """The amount of data to recover."""

    interactions: int = 10_000_000
    partitions: int = 4
    runs: int = 3


async def recovery(
    where: Ground, options: RecoveryOptions, say: Callable[[str], None]
) -> BenchReport:
    """Measure; `say` gets progress messages. Raises Fatal if data is missing."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("recovery", settings, facts())
    shard, worker, restart = [], [], []
    everything = range(options.partitions)
    async with field(where, options.partitions) as here:
        say(f"ingesting {options.interactions:,} interactions")
        held = await _fill(here, options.interactions)
        for number in range(options.runs):
            shard.append(await _run(here, held, [_LOST]))
            worker.append(await _run(here, held, everything))
            restart.append(await _restart(here))
            say(
                f"run {number + 1} of {options.runs}: one shard {shard[-1].seconds:.2f} s, "
                f"all {options.partitions} {worker[-1].seconds:.2f} s, "
                f"with its disks {restart[-1].seconds:.2f} s"
            )
    report.results |= {
        "shard": Measurement(shard),
        "worker": Measurement(worker),
        "restart": Measurement(restart, rate=False),
    }
    report.notes += [
        f"shard: one of {options.partitions} shards of a worker has lost its disk; its own "
        "interactions a second, from the start of its take-over until it answers",
        f"worker: all {options.partitions} have; from the first take-over until /readyz says that "
        "all are ready. shard_s is the slowest shard's own take-over, wall_s is from the start "
        "of the process",
        "restart: seconds from the start of the process until /readyz says that all shards are "
        "ready, nothing lost; the files were read a moment before",
        "an interaction is one of the events' own: what the hot table derives is not counted",
    ]
    return report


async def _fill(here: Field, interactions: int) -> dict[int, int]:
    """The number of interactions of each shard; each event makes one."""
    await publish(here.settings, crowd("crowd", interactions))
    async with Watch(here.watch) as watch:
        with Worker(here) as worker:
            await taken_in(here, worker, watch)
        held = {shard: sum(cursor.values()) for shard, cursor in watch.cursors.items()}
    if sum(held.values()) != interactions:
        raise Fatal(f"Of {interactions} interactions the shards took in {held}")
    return held


async def _run(here: Field, held: dict[int, int], lost: Collection[int]) -> Sample:
    """One start of a worker after the disks of `lost` were removed."""
    await asyncio.to_thread(_lose, Path(here.settings.data_dir), lost)
    async with Watch(here.watch) as watch:
        started = time.monotonic()
        with Worker(here) as worker:
            first = await watch.taken_over(worker)
            idle = worker.cpu()
            await worker.ready()
            last = time.monotonic()
            cpu, peak = worker.cpu() - idle, worker.peak()
            async with aiohttp.ClientSession() as session:
                shards = (await worker.get(session, "/status"))["shards"]
    own = {shard["partition"]: shard["recovery_s"] for shard in shards}
    if len(lost) == 1:
        (shard,) = lost
        return Sample(own[shard], held[shard], rss=peak)
    figures = {"shard_s": max(own.values()), "wall_s": last - started}
    return Sample(last - first, sum(held.values()), cpu, peak, figures)


async def _restart(here: Field) -> Sample:
    """One start of a worker that has its disks."""
    started = time.monotonic()
    with Worker(here) as worker:
        await worker.ready()
        return Sample(time.monotonic() - started, cpu=worker.cpu(), rss=worker.peak())


def _lose(data: Path, shards: Collection[int]) -> None:
    """Remove the hot tables' state stores and the indexes by user of `shards`."""
    for shard in shards:
        for folder in data.glob(f"*-{shard}"):
            shutil.rmtree(folder)

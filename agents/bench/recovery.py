"""`bench recovery`: how fast a worker whose disk is gone has its shards back."""

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from agents.bench.crowd import crowd
from agents.bench.field import Field, Ground, field
from agents.bench.figures import Measurement, Report, Sample
from agents.bench.ingest import taken_in
from agents.bench.machine import facts
from agents.bench.watch import Watch
from agents.bench.worker import Worker
from agents.publish import publish

__all__ = ["Options", "recovery"]


@dataclass(frozen=True, slots=True)
class Options:
    """How much there is to recover."""

    interactions: int = 4_000_000
    partitions: int = 4
    runs: int = 3


async def recovery(where: Ground, options: Options, say: Callable[[str], None]) -> Report:
    """Measure; `say` is told what goes on."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = Report("recovery", settings, facts())
    samples = []
    async with field(where, options.partitions) as here:
        say(f"ingesting {options.interactions:,} interactions")
        await publish(here.settings, crowd("crowd", options.interactions))
        async with Watch(here.settings) as watch:
            with Worker(here) as worker:
                await taken_in(here, worker, watch)
        for number in range(options.runs):
            await asyncio.to_thread(shutil.rmtree, here.settings.data_dir)
            samples.append(await _run(here, options.interactions))
            say(f"run {number + 1} of {options.runs}: {samples[-1].seconds:.2f} s")
    report.results["cold_disk"] = Measurement(samples)
    report.notes.append(
        f"interactions a second of a worker with {options.partitions} shards, from the first "
        "shard's take-over until /readyz says that all are ready; wall_s is from the start of "
        "its process"
    )
    return report


async def _run(here: Field, interactions: int) -> Sample:
    async with Watch(here.settings) as watch:
        started = time.monotonic()
        with Worker(here) as worker:
            first = await watch.taken_over(worker)
            idle = worker.cpu()
            last = await worker.ready()
            wall = {"wall_s": last - started}
            return Sample(last - first, interactions, worker.cpu() - idle, worker.peak(), wall)

"""`bench latency`: the time from producing an event until an answer contains it, under load."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agents.tools.bench.field import Field, Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.machine import facts
from agents.tools.bench.probe import Probe
from agents.tools.bench.worker import Worker
from agents.tools.process import Child

__all__ = ["LatencyOptions", "latency", "loading", "offered", "warm_up"]

_WARM_UP_S = 3.0
_NEARLY = 0.95
HOW = (
    "readable: the cursor that GET /status tells has passed the marked event; rows and cursor "
    "become visible together, which is checked by reading the rows once a second. The delay runs "
    "from the instant the event is due to be produced to the poll that finds it, every 20 ms"
)


@dataclass(frozen=True, slots=True)
class LatencyOptions:
    """The rate of the offered events, and the duration."""

    rate: int = 20_000
    seconds: float = 20.0
    sources: int = 40
    partitions: int = 4
    runs: int = 3


@asynccontextmanager
async def offered(
    here: Field, rate: int, sources: int, seconds: float, every: float = 0.05
) -> AsyncIterator[Child]:
    """Events offered at a rate by a separate process, for at most this many seconds, in one lot
    every so many seconds: few lots leave more of the machine to the measured worker.
    """
    given = {"rate": rate, "sources": sources, "events": int(rate * seconds), "every": every}
    async with loading(here, "agents.tools.bench.load", given) as child:
        yield child


@asynccontextmanager
async def loading(here: Field, module: str, given: Mapping[str, float]) -> AsyncIterator[Child]:
    """A producer of events as a separate process, with these arguments; it ends with the block."""
    command = [sys.executable, "-m", module]
    command += [part for name, value in given.items() for part in (f"--{name}", str(value))]
    child = Child(command, here.folder / "load.log", here.environment())
    try:
        yield child
        child.check()
    finally:
        await asyncio.to_thread(child.stop)


async def warm_up(here: Field, load: Child) -> int:
    """Wait until offered events arrive, and a little longer; returns the number of events."""
    topics = here.topics.events.values()
    before = sum((await here.ends(topics)).values())
    while sum((await here.ends(topics)).values()) <= before:
        load.check()
    await asyncio.sleep(_WARM_UP_S)
    return sum((await here.ends(topics)).values())


async def latency(
    where: Ground, options: LatencyOptions, say: Callable[[str], None]
) -> BenchReport:
    """Measure; `say` gets progress messages."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("latency", settings, facts())
    samples = []
    for number in range(options.runs):
        say(f"run {number + 1} of {options.runs}")
        async with field(where, options.partitions) as here:
            with Worker(here) as worker:
                samples.append(await _run(here, worker, options))
        say(f"p99 {samples[-1].seconds * 1000:.0f} ms")
        offered_per_s = samples[-1].facts["offered_per_s"]
        if offered_per_s < _NEARLY * options.rate:
            report.notes.append(
                f"run {number + 1}: only {offered_per_s:,.0f} of {options.rate:,} events a second "
                "could be offered: the machine has other work, or is too small for this rate"
            )
    report.results["p99_produce_to_readable"] = Measurement(samples, rate=False)
    report.notes += [HOW, f"the first {_WARM_UP_S:.0f} s of load are not measured"]
    return report


async def _run(here: Field, worker: Worker, options: LatencyOptions) -> Sample:
    await worker.ready()
    probe = Probe(here, worker, options.seconds)
    await probe.prepare()
    whole = options.seconds + 3 * _WARM_UP_S
    async with offered(here, options.rate, options.sources, whole) as load:
        start = await warm_up(here, load)
        idle = worker.cpu()
        async with probe.running() as looking:
            await asyncio.wait([looking], timeout=options.seconds)
            end = sum((await here.ends(here.topics.events.values())).values())
    found = probe.facts() | {"offered_per_s": (end - start) / options.seconds}
    return Sample(probe.p99(), end - start, worker.cpu() - idle, worker.peak(), found)

"""Ingest by two workers in turn, and the part of the rate of the first that the second has."""

from collections.abc import Callable
from dataclasses import dataclass

from agents.tools.bench import compare
from agents.tools.bench.field import Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.ingest import IngestOptions, equal, taken_in
from agents.tools.bench.machine import facts
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.demo.bench_events import bench_events
from agents.tools.publish import publish

__all__ = ["Side", "pair"]


@dataclass(frozen=True, slots=True)
class Side:
    """A name in the results, how the brokers are reached, and how the worker is started."""

    name: str
    where: Ground
    worker: type[Worker] = Worker


async def pair(
    what: str,
    least: float,
    sides: tuple[Side, Side],
    options: IngestOptions,
    say: Callable[[str], None],
    warm_ups: int = 0,
) -> BenchReport:
    """Alternate both sides. The ratio `what` is the median rate of the second to that of the first,
    and must be at least `least`. Rows are compared with the oracle's. `warm_ups` runs come before
    those that count.
    """
    given = {name: getattr(options, name) for name in ("events", "sources", "partitions", "runs")}
    report = BenchReport("ingest", given, facts())
    known = compare.oracle(options.events, options.sources, "exponential")
    samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
    for number in range(-warm_ups, options.runs):
        say(f"run {number + 1} of {options.runs}" if number >= 0 else "warm-up")
        # which is first alternates too: what a broker has just written it reads faster
        for side in reversed(sides) if number % 2 else sides:
            async with field(side.where, options.partitions) as here:
                await publish(here.settings, bench_events(options.events, options.sources))
                async with Watch(here.watch) as watch:
                    with side.worker(here) as worker:
                        sample = await taken_in(here, worker, watch)
                        await worker.ready()
                        same = await equal(worker, known)
            report.agree[side.name] = report.agree.get(side.name, True) and same
            if number >= 0:
                samples[side.name].append(sample)
            say(f"{side.name}: {sample.events / sample.seconds:,.0f} events/s")
    report.results |= {name: Measurement(found) for name, found in samples.items()}
    base, other = (report.results[side.name].figure().median for side in sides)
    report.ratios[what] = other / base
    report.kept[f"{what} at least {least} of {sides[0].name}"] = other / base >= least
    return report

"""`bench ingest`: how fast events become interactions, compared with peers that do the same."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from agents.tools.bench import compare
from agents.tools.bench.compare import Law
from agents.tools.bench.erased import with_erased
from agents.tools.bench.field import Field, Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.machine import facts
from agents.tools.bench.peers import run as peers
from agents.tools.bench.peers.job import TOPICS
from agents.tools.bench.peers.state import state
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.demo.bench_events import bench_events
from agents.tools.oracle import Interactions
from agents.tools.publish import publish

__all__ = ["IngestOptions", "equal", "ingest", "taken_in"]

_COMPARED = 200  # sources whose rows are compared where there are more
_ERASED = "worker_erased"
_ONE_ERASED = "worker_one_erased"
_INSTALL = "pip install 'emberline[bench]'"


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """The sizes of the measurement. The peers get fewer events, because they would take minutes for
    all.
    """

    events: int = 1_000_000
    sources: int = 40
    many_sources: int = 10_000
    partitions: int = 4
    runs: int = 3
    erased: int = 0
    faust_events: int = 40_000
    quix_events: int = 200_000
    quix_processes: int = 2
    peers: bool = True


async def ingest(where: Ground, options: IngestOptions, say: Callable[[str], None]) -> BenchReport:
    """Measure the worker, the peers and bare consumption; `say` gets progress messages."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("ingest", settings, facts())
    samples: dict[str, list[Sample]] = {}
    # the peers know no security
    plain = where.chosen.get("kafka_security", "plaintext") == "plaintext"
    expected: dict[tuple[int, int, Law], Interactions] = {}

    def known(events: int, sources: int, law: Law) -> Interactions:
        key = (events, sources, law)
        if key not in expected:
            say(f"oracle over {events:,} events")
            expected[key] = compare.oracle(*key)
        return expected[key]

    def keep(name: str, sample: Sample, same: bool | None) -> None:
        samples.setdefault(name, []).append(sample)
        say(f"{name}: {sample.events / sample.seconds:,.0f} events/s")
        if same is not None:
            report.agree[name] = report.agree.get(name, True) and same

    for number in range(options.runs):
        say(f"run {number + 1} of {options.runs}")
        rounds: list[tuple[str, int, Law]] = [
            ("worker", options.sources, "exponential"),
            (f"worker_{options.many_sources}", options.many_sources, "zipf"),
        ]
        if options.erased:
            rounds += [(name, options.sources, "exponential") for name in (_ONE_ERASED, _ERASED)]
        for name, count, law in rounds:
            async with field(where, options.partitions) as here:
                if name in (_ONE_ERASED, _ERASED):
                    await with_erased(here, 1 if name == _ONE_ERASED else options.erased)
                await publish(here.settings, bench_events(options.events, count, law))
                if name == "worker":
                    keep("bare_consume", await peers.run(here, "bare", options.events), None)
                async with Watch(here.watch) as watch:
                    with Worker(here) as worker:
                        sample = await taken_in(here, worker, watch)
                        await worker.ready()
                        same = await equal(worker, known(options.events, count, law))
                keep(name, sample, same)
        for peer, package, events, processes in (
            ("quix", "quixstreams", options.quix_events, options.quix_processes),
            ("faust_table", "faust", options.faust_events, 1),
        ):
            if not (options.peers and plain and peers.available(package)):
                continue
            async with field(where, options.partitions) as here:
                await publish(here.settings, bench_events(events, options.sources))
                sample = await peers.run(here, peer, events, processes)
                same = await state(here, peer) == known(events, options.sources, "exponential")
                keep(peer, sample, same)
    report.results |= {name: Measurement(found) for name, found in samples.items()}
    _sum_up(report, options)
    return report


async def taken_in(here: Field, worker: Worker, watch: Watch) -> Sample:
    """The time from the first takeover of a shard to the last committed cursor.

    A read_committed consumer of the changelog watches the cursors, so the time includes the
    commits, unlike the time of the peers; CPU is counted from the takeover on.
    """
    ends = await here.ends(here.topics.event(event) for event in TOPICS)
    started = time.monotonic()
    first = await watch.taken_over(worker)
    idle = worker.cpu()
    last = await watch.caught_up(worker, ends)
    wall = {"wall_s": last - started}
    return Sample(last - first, sum(ends.values()), worker.cpu() - idle, worker.peak(), wall)


async def equal(worker: Worker, expected: Interactions) -> bool:
    """Whether a worker has exactly these rows; of many sources, some are compared."""
    names = sorted({key[0] for key in expected})
    if len(names) > _COMPARED:
        names = random.Random(7).sample(names, _COMPARED)
    await worker.knows(names)
    return await compare.worker_equals(worker, compare.as_frame(expected), names)


def _sum_up(report: BenchReport, options: IngestOptions) -> None:
    rates = {name: found.figure().median for name, found in report.results.items()}
    many = f"worker_{options.many_sources}"
    for ratio, over, under in (
        ("faust_table", "worker", "faust_table"),
        ("quix", "worker", "quix"),
        ("bare_consume", "worker", "bare_consume"),
        (f"sources_{options.many_sources}", many, "worker"),
        (f"erased_{options.erased}", _ERASED, _ONE_ERASED),
    ):
        if over in rates and under in rates:
            report.ratios[ratio] = rates[over] / rates[under]
    report.notes += [
        f"worker: {options.events:,} events in one process, timed from the take-over of its "
        "first shard to its last committed cursor; wall_s is from the start of its process",
        f"faust_table: {options.faust_events:,} events, quix: {options.quix_events:,} events in "
        f"{options.quix_processes} processes, timed from the first to the last event handled, "
        "later commits left out",
        "sources that no definition names are told to the coordinator when ingest pauses, 10 s "
        "after they came at the latest: that is not in it",
        "bare_consume: aiokafka's getmany, one process, records counted and dropped",
        f"rows of at most {_COMPARED} sources are compared with the oracle, the peers' whole",
    ]
    if options.erased:
        report.notes.append(
            f"{_ERASED}: as worker, after {options.erased:,} users without events were erased by a "
            f"worker before it; {_ONE_ERASED}: after one was, since a second life begins otherwise"
        )
    if not options.peers:
        report.notes.append("the peers were not measured: --no-peers")
    elif not peers.available("quixstreams"):
        report.notes.append(f"quix was not measured: it is not installed, {_INSTALL}")

"""`bench ingest --secured`: ingest over TLS and SCRAM beside plain connections, on one broker."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.tools.bench import compare
from agents.tools.bench.field import Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.ingest import IngestOptions, equal, taken_in
from agents.tools.bench.machine import facts
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.demo.bench_events import bench_events
from agents.tools.publish import publish
from streams.devbroker.secured import ADMIN, SecuredBroker

__all__ = ["secured_grounds", "secured_ingest"]

_PLAIN, _SECURED = "worker", "worker_secured"
_LEAST = 0.85
"""The share of plain ingest that must be left."""


@contextmanager
def secured_grounds(say: Callable[[str], None]) -> Iterator[dict[str, Ground]]:
    """A new local broker, by its plain listener and by that with TLS and SCRAM."""
    folder = Path(tempfile.mkdtemp(prefix="emberline-broker-"))
    try:
        with SecuredBroker(folder, {}, say=say) as broker:
            given = broker.as_user(ADMIN)
            address = str(given.pop("bootstrap_servers"))
            yield {_PLAIN: Ground(broker.bootstrap_servers), _SECURED: Ground(address, given)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def secured_ingest(
    grounds: dict[str, Ground], options: IngestOptions, say: Callable[[str], None]
) -> BenchReport:
    """Alternate both; the ratio of medians must be at least 0.85. Rows are compared with the
    oracle's.
    """
    given = {name: getattr(options, name) for name in ("events", "sources", "partitions", "runs")}
    report = BenchReport("ingest", given, facts())
    known = compare.oracle(options.events, options.sources, "exponential")
    samples: dict[str, list[Sample]] = {name: [] for name in grounds}
    for number in range(options.runs):
        say(f"run {number + 1} of {options.runs}")
        # which is first alternates too: what a broker has just written it reads faster
        for name in sorted(grounds, reverse=bool(number % 2)):
            async with field(grounds[name], options.partitions) as here:
                await publish(here.settings, bench_events(options.events, options.sources))
                async with Watch(here.settings) as watch:
                    with Worker(here) as worker:
                        sample = await taken_in(here, worker, watch)
                        await worker.ready()
                        same = await equal(worker, known)
            report.agree[name] = report.agree.get(name, True) and same
            samples[name].append(sample)
            say(f"{name}: {sample.events / sample.seconds:,.0f} events/s")
    report.results |= {name: Measurement(found) for name, found in samples.items()}
    rates = {name: found.figure().median for name, found in report.results.items()}
    report.ratios["secured"] = rates[_SECURED] / rates[_PLAIN]
    report.kept[f"secured at least {_LEAST} of plain"] = report.ratios["secured"] >= _LEAST
    report.notes.append(
        f"{_SECURED}: TLS 1.3 and SCRAM-SHA-512; {_PLAIN}: neither; the same broker"
    )
    return report

"""`bench ingest --metered`: what metrics cost, beside a worker whose meters count nothing."""

import sys
from collections.abc import Callable

from agents.tools.bench.field import Ground
from agents.tools.bench.figures import BenchReport
from agents.tools.bench.ingest import IngestOptions
from agents.tools.bench.pair import Side, pair
from agents.tools.bench.worker import Worker

__all__ = ["metered_ingest"]

_METERED, _UNMETERED = "worker", "worker_unmetered"
_LEAST = 0.98
"""The share of ingest without metrics that must be left."""


# Workers of users have no such switch. Moments that are read for the meters are read here too.
_PROGRAM = """
from agents.cli import main
from streams.metrics.meters import Meters
for name in ("count", "observe", "put", "drop"):
    setattr(Meters, name, lambda *_, **__: None)
main()
"""


class _Unmetered(Worker):
    command_line = (sys.executable, "-c", _PROGRAM)


async def metered_ingest(
    where: Ground, options: IngestOptions, say: Callable[[str], None]
) -> BenchReport:
    """Alternate both; the ratio of medians must be at least 0.98."""
    sides = Side(_UNMETERED, where, _Unmetered), Side(_METERED, where)
    report = await pair("metered", _LEAST, sides, options, say)
    report.notes.append(f"{_UNMETERED}: counters, gauges and histograms do nothing")
    return report

"""`bench page`: what many open pages cost ingest, and how quickly they are served meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass

from agents.tools.bench.beside import Clients, measured_beside
from agents.tools.bench.field import Ground
from agents.tools.bench.figures import BenchReport, Sample
from agents.tools.bench.machine import facts

__all__ = ["PageOptions", "page"]

LEAST_RATE = 0.9
"""The part of its rate that ingest keeps beside the pages."""
OLDEST_S = 2.0


@dataclass(frozen=True, slots=True)
class PageOptions:
    """The events of one backlog, the open pages, the seconds between two reads of each, the state
    changes a second, and how long the pages are open at least.
    """

    events: int = 1_000_000
    sources: int = 40
    pages: int = 200
    every: float = 60.0
    changes: int = 20
    seconds: float = 20.0
    partitions: int = 4
    runs: int = 1


async def page(where: Ground, options: PageOptions, say: Callable[[str], None]) -> BenchReport:
    """Measure; `say` gets progress messages."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("page", settings, facts())
    pages = Clients(
        "pages",
        "agents.tools.bench.open_pages",
        {"pages": options.pages, "every": options.every},
        f"{options.pages:,} pages are opened",
        _seen,
    )
    measured = await measured_beside(where, options, pages, say)
    ratio = measured.into(report, "pages", "list_p95")
    found = report.results["list_p95"].facts()
    report.kept[f"ingest keeps {LEAST_RATE:.0%}"] = ratio >= LEAST_RATE
    report.kept[f"no state older than {OLDEST_S:.0f} s"] = found["oldest_s"] <= OLDEST_S
    report.kept["no stream lost, no read refused"] = not found["lost"] and not found["failed"]
    report.notes += [
        f"one worker takes in {options.events:,} events that become readable at once, as in "
        "`bench events`; alone is measured before and after the pages",
        f"a page is a stream of /events?beat=1, and every {options.every:g} s a read: the list of "
        "sources, one source, or its figures; browsers keep the page's files",
        f"all the time {options.changes} sources a second are held or let go by commands",
        "cpu_with_pages: the worker's CPU for an event alone over that with pages; other work of "
        "the machine changes it less than the rates",
        "list_p95: seconds of GET /sources?limit=50, the 95th percentile of all pages; cpu and "
        "memory of this line are those of the pages' process",
    ]
    return report


def _seen(found: dict[str, float], cpu: float, peak: int) -> Sample | None:
    if not found.get("states") or not found.get("lists"):
        return None
    return Sample(found.pop("list_p95_s"), int(found["lists"]), cpu, peak, found)

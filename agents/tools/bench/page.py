"""`bench page`: what many open pages cost ingest, and how quickly they are served meanwhile."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agents.tools.bench.events import CONNECTIONS, Backlogs, changing, defined
from agents.tools.bench.field import Field, Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.machine import facts
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.process import Child
from schemas.errors import Fatal

__all__ = ["PageOptions", "page"]

_DEADLINE_S = 120.0
_POLL_S = 0.05
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
    connections = {
        "EMBERLINE_HTTP_CONNECTIONS": CONNECTIONS,
        "EMBERLINE_HTTP_CONNECTIONS_BY_ADDRESS": CONNECTIONS,
    }
    alone: list[Sample] = []
    beside: list[Sample] = []
    seen: list[Sample] = []
    async with field(where, options.partitions) as here, Watch(here.settings) as watch:
        with Worker(here, **connections) as worker:
            await worker.ready()
            names = await defined(here, worker, options.changes * 2)
            backlogs = Backlogs(here, worker, watch, options.events, options.sources)
            async with changing(here, names, options.changes):
                say("the first backlog, which makes the interactions that the others change")
                await backlogs.taken_in()
                for number in range(options.runs + 1):
                    alone.append(await backlogs.taken_in())
                    say(f"alone: {alone[-1].events / alone[-1].seconds:,.0f} events/s")
                    if number == options.runs:
                        break
                    say(f"{options.pages:,} pages are opened")
                    async with _open(here, worker, options, seen):
                        least = asyncio.create_task(asyncio.sleep(options.seconds))
                        beside.append(await backlogs.taken_in())
                        await least
                    say(f"beside: {beside[-1].events / beside[-1].seconds:,.0f} events/s")
    report.results["ingest_alone"] = Measurement(alone)
    report.results["ingest_with_pages"] = Measurement(beside)
    report.results["list_p95"] = Measurement(seen, rate=False)
    rates = {name: found.figure().median for name, found in report.results.items()}
    ratio = rates["ingest_with_pages"] / rates["ingest_alone"]
    report.ratios["ingest_with_pages"] = ratio
    costs = {name: found.cpu_us_per_event() for name, found in report.results.items()}
    if costs["ingest_alone"] and costs["ingest_with_pages"]:
        report.ratios["cpu_with_pages"] = costs["ingest_alone"] / costs["ingest_with_pages"]
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


@asynccontextmanager
async def _open(
    here: Field, worker: Worker, options: PageOptions, seen: list[Sample]
) -> AsyncIterator[None]:
    """All pages are open inside the block; then what they saw is added to `seen`."""
    command_line = [sys.executable, "-m", "agents.tools.bench.open_pages"]
    for name, value in (("url", worker.url), ("pages", options.pages), ("every", options.every)):
        command_line += [f"--{name}", str(value)]
    out = here.folder / "pages.out"
    with Child(command_line, here.folder / "pages.log", here.environment(), out) as child:
        deadline = time.monotonic() + _DEADLINE_S
        while not out.read_bytes().endswith(b"\n"):
            child.check()
            if time.monotonic() > deadline:
                raise Fatal("The pages do not open", remedy=child.tail(500))
            await asyncio.sleep(_POLL_S)
        yield
        child.check()
        cpu, peak = child.cpu(), child.peak()
        await asyncio.to_thread(child.stop)
    child.check()
    found: dict[str, float] = {}
    for line in out.read_bytes().splitlines():
        found |= json.loads(line)
    if not found.get("states") or not found.get("lists"):
        raise Fatal("The pages saw no state change", remedy=child.tail(500))
    p95 = found.pop("list_p95_s")
    seen.append(Sample(p95, int(found["lists"]), cpu, peak, found | {"cpu_s": cpu}))

"""Ingest alone, and beside clients of the worker's HTTP that run in a process of their own.

The states of some sources change all the time, so the clients have something to see. Ingest is
measured alone before and after each time that the clients are there.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from agents.tools.bench.field import Field, Ground
from agents.tools.bench.field import field as opened_field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.peers.job import TOPICS
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.demo.bench_events import START_MS, STEP_MS, bench_events
from agents.tools.operator_requests import command
from agents.tools.process import Child
from agents.tools.publish import Chunk, Publisher, publish
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.lifecycle import State, Status
from schemas.records.registry import own_id
from streams.ending import end_all

__all__ = ["Clients", "MeasuredBeside", "measured_beside"]

_DEADLINE_S = 120.0
_CONNECTIONS = "4000"
_POLL_S = 0.05


class BesideOptions(Protocol):
    """What each such benchmark is asked: events and sources of a backlog, state changes a second,
    seconds that the clients are there at least, shards, and runs with clients.
    """

    @property
    def events(self) -> int: ...
    @property
    def sources(self) -> int: ...
    @property
    def changes(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def partitions(self) -> int: ...
    @property
    def runs(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of one benchmark.

    `module` is run with `--url` and `arguments`. It prints a line of JSON when all clients are
    there, and one with what they saw when it gets SIGTERM. `coming` is said before. `seen` makes a
    sample of both lines and of the process's CPU seconds and peak memory in bytes; None if the
    clients saw nothing.
    """

    name: str
    module: str
    arguments: Mapping[str, float]
    coming: str
    seen: Callable[[dict[str, float], float, int], Sample | None]


@dataclass(frozen=True, slots=True)
class MeasuredBeside:
    """The samples of ingest alone, of ingest beside the clients, and of what the clients saw."""

    alone: list[Sample] = field(default_factory=list)
    beside: list[Sample] = field(default_factory=list)
    seen: list[Sample] = field(default_factory=list)

    def into(self, report: BenchReport, clients: str, what: str) -> float:
        """Add results and ratios to a report: of `clients`, who saw `what`. Returns the part of its
        rate that ingest keeps.
        """
        alone, beside = Measurement(self.alone), Measurement(self.beside)
        report.results["ingest_alone"] = alone
        report.results[f"ingest_with_{clients}"] = beside
        report.results[what] = Measurement(self.seen, rate=False)
        ratio = beside.figure().median / alone.figure().median
        report.ratios[f"ingest_with_{clients}"] = ratio
        cost_alone, cost_beside = alone.cpu_us_per_event(), beside.cpu_us_per_event()
        if cost_alone and cost_beside:
            report.ratios[f"cpu_with_{clients}"] = cost_alone / cost_beside
        return ratio


async def measured_beside(
    where: Ground, options: BesideOptions, clients: Clients, say: Callable[[str], None]
) -> MeasuredBeside:
    """Measure; `say` gets progress messages."""
    found = MeasuredBeside()
    connections = {
        "EMBERLINE_HTTP_CONNECTIONS": _CONNECTIONS,
        "EMBERLINE_HTTP_CONNECTIONS_BY_ADDRESS": _CONNECTIONS,
    }
    async with opened_field(where, options.partitions) as here, Watch(here.watch) as watch:
        with Worker(here, **connections) as worker:
            await worker.ready()
            names = await _defined(here, worker, options.changes * 2)
            backlogs = _Backlogs(here, worker, watch, options.events, options.sources)
            async with _changing(here, names, options.changes):
                say("the first backlog, which makes the interactions that the others change")
                await backlogs.taken_in()
                for number in range(options.runs + 1):
                    found.alone.append(await backlogs.taken_in())
                    say(f"alone: {_rate(found.alone[-1])}")
                    if number == options.runs:
                        break
                    say(clients.coming)
                    async with _there(here, worker, clients, found.seen):
                        least = asyncio.create_task(asyncio.sleep(options.seconds))
                        found.beside.append(await backlogs.taken_in())
                        await least
                    say(f"beside: {_rate(found.beside[-1])}")
    return found


def _rate(sample: Sample) -> str:
    return f"{sample.events / sample.seconds:,.0f} events/s"


@asynccontextmanager
async def _there(
    here: Field, worker: Worker, clients: Clients, seen: list[Sample]
) -> AsyncIterator[None]:
    """All clients are there inside the block; then what they saw is added to `seen`."""
    command_line = [sys.executable, "-m", clients.module, "--url", worker.url]
    for name, value in clients.arguments.items():
        command_line += [f"--{name}", str(value)]
    out, log = here.folder / f"{clients.name}.out", here.folder / f"{clients.name}.log"
    with Child(command_line, log, here.environment(), out) as child:
        deadline = time.monotonic() + _DEADLINE_S
        while not out.read_bytes().endswith(b"\n"):
            child.check()
            if time.monotonic() > deadline:
                raise Fatal(f"The {clients.name} do not connect", remedy=child.tail(500))
            await asyncio.sleep(_POLL_S)
        yield
        child.check()
        cpu, peak = child.cpu(), child.peak()
        await asyncio.to_thread(child.stop)
    child.check()
    found: dict[str, float] = {}
    for line in out.read_bytes().splitlines():
        found |= json.loads(line)
    sample = clients.seen(found | {"cpu_s": cpu}, cpu, peak)
    if sample is None:
        raise Fatal(f"The {clients.name} saw no state change", remedy=child.tail(500))
    seen.append(sample)


class _Backlogs:
    """Makes backlogs of `events` events, and measures how a running worker takes them in."""

    def __init__(
        self, here: Field, worker: Worker, watch: Watch, events: int, sources: int
    ) -> None:
        self.here = here
        self.worker = worker
        self.watch = watch
        self.events = events
        self.sources = sources
        self._number = 0

    async def taken_in(self) -> Sample:
        """One backlog, from the commit that makes it readable to the last committed cursor."""
        start_ms = START_MS + self._number * self.events * STEP_MS
        self._number += 1
        made = bench_events(self.events, self.sources, start_ms=start_ms)
        chunks = await asyncio.to_thread(list, made)
        topics = [self.here.topics.event(event) for event in TOPICS]
        before = await self.here.ends(topics)
        name = f"{self.here.settings.prefix}backlog"
        async with (
            Publisher(self.here.settings, transactional_id=name) as publisher,
            publisher.transaction(),
        ):
            for chunk in chunks:
                await publisher.publish(chunk)
            await publisher.flush()
            await self.watch.look()
            idle, start = self.worker.cpu(), time.monotonic()
        deadline = start + _DEADLINE_S
        while sum((after := await self.here.ends(topics)).values()) < (
            sum(before.values()) + self.events
        ):
            if time.monotonic() > deadline:
                raise Fatal("A committed backlog does not become readable")
        # the commit itself is the last record of each partition with a part: no cursor counts it
        ends = {part: end - (end > before[part]) for part, end in after.items()}
        last = await self.watch.caught_up(self.worker, ends)
        cpu, peak = self.worker.cpu() - idle, self.worker.peak()
        return Sample(last - start, self.events, cpu, peak)


async def _defined(here: Field, worker: Worker, count: int) -> list[str]:
    """Define sources whose states are to change, and wait until all are active; their keys."""
    keys = [f"campaign:watched-{number}" for number in range(count)]
    values = [
        codec.encode(
            "definition",
            {"key": key, "status": Status.ACTIVE.value, "name": key},
            own_id("definition"),
        )
        for key in keys
    ]
    await publish(here.settings, [Chunk("catalog", [key.encode() for key in keys], values)])
    deadline = time.monotonic() + _DEADLINE_S
    async with aiohttp.ClientSession() as session:
        while (await worker.get(session, "/status"))["sources"].get(State.ACTIVE) != count:
            if time.monotonic() > deadline:
                raise Fatal("The sources are not active", remedy=worker.tail(500))
            await asyncio.sleep(_POLL_S)
    return keys


@asynccontextmanager
async def _changing(here: Field, keys: list[str], rate: int) -> AsyncIterator[None]:
    """Hold each source in turn, then let each go, and so on, at this rate, inside the block."""

    async def change() -> None:
        async with Publisher(here.settings) as publisher:
            number, start = 0, time.monotonic()
            while True:
                kind = "unhold" if number // len(keys) % 2 else "hold"
                record = command(kind, (keys[number % len(keys)],), reason="benchmark")
                value = codec.encode("command", record, own_id("command"))
                await publisher.publish(Chunk("control", [record["request_id"].encode()], [value]))
                number += 1
                await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        ended = task.done()
        await end_all([task])
        if not task.cancelled():
            task.result()  # raises what ended it
    if ended:
        raise Fatal("The states did not change to the end of the measurement")

"""`bench events`: what many listeners of GET /events cost ingest, and the age of what they see."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from agents.tools.bench.field import Field, Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.machine import facts
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

__all__ = ["CONNECTIONS", "Backlogs", "EventsOptions", "changing", "defined", "events"]

_DEADLINE_S = 120.0
CONNECTIONS = "4000"
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class EventsOptions:
    """The events of one backlog, the listeners, the state changes a second, and how long the
    listeners listen at least.
    """

    events: int = 1_000_000
    sources: int = 40
    listeners: int = 1_000
    sample: int = 20
    changes: int = 20
    seconds: float = 10.0
    partitions: int = 4
    runs: int = 1


async def events(where: Ground, options: EventsOptions, say: Callable[[str], None]) -> BenchReport:
    """Measure; `say` gets progress messages."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("events", settings, facts())
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
                    say(f"{options.listeners:,} listeners connect")
                    async with _listening(here, worker, options, seen):
                        least = asyncio.create_task(asyncio.sleep(options.seconds))
                        beside.append(await backlogs.taken_in())
                        await least
                    say(f"beside: {beside[-1].events / beside[-1].seconds:,.0f} events/s")
                    say(f"oldest state seen: {seen[-1].seconds:.2f} s")
    report.results["ingest_alone"] = Measurement(alone)
    report.results["ingest_with_listeners"] = Measurement(beside)
    report.results["oldest_state_seen"] = Measurement(seen, rate=False)
    rates = {name: found.figure().median for name, found in report.results.items()}
    report.ratios["ingest_with_listeners"] = rates["ingest_with_listeners"] / rates["ingest_alone"]
    costs = {name: found.cpu_us_per_event() for name, found in report.results.items()}
    if costs["ingest_alone"] and costs["ingest_with_listeners"]:
        ratio = costs["ingest_alone"] / costs["ingest_with_listeners"]
        report.ratios["cpu_with_listeners"] = ratio
    report.notes += [
        "cpu_with_listeners: the worker's CPU for an event alone over that with listeners; other "
        "work of the machine changes it less than the rates",
        f"one worker takes in {options.events:,} events that become readable at once, by the "
        "commit of one transaction; seconds run from that commit to the last committed cursor; "
        "every backlog has the same users and sources at later times",
        f"all the time {options.changes} sources a second are held or let go by commands; alone is "
        "measured before and after the listeners",
        f"oldest_state_seen: the age of states, from `updated_at` of the record to the receipt, by "
        f"{options.sample} of the listeners; the others only read; cpu and memory of this line are "
        "those of the listeners' process; lost counts streams that ended",
    ]
    return report


class Backlogs:
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


async def defined(here: Field, worker: Worker, count: int) -> list[str]:
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
async def changing(here: Field, keys: list[str], rate: int) -> AsyncIterator[None]:
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
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()  # raises what ended it
    if ended:
        raise Fatal("The states did not change to the end of the measurement")


@asynccontextmanager
async def _listening(
    here: Field, worker: Worker, options: EventsOptions, seen: list[Sample]
) -> AsyncIterator[None]:
    """All listeners listen inside the block; then what they saw is added to `seen`."""
    command_line = [sys.executable, "-m", "agents.tools.bench.listeners"]
    for name, value in (
        ("url", worker.url),
        ("listeners", options.listeners),
        ("sample", options.sample),
    ):
        command_line += [f"--{name}", str(value)]
    out = here.folder / "listeners.out"
    with Child(command_line, here.folder / "listeners.log", here.environment(), out) as child:
        deadline = time.monotonic() + _DEADLINE_S
        while not out.read_bytes().endswith(b"\n"):
            child.check()
            if time.monotonic() > deadline:
                raise Fatal("The listeners do not connect", remedy=child.tail(500))
            await asyncio.sleep(_POLL_S)
        yield
        child.check()
        cpu, peak = child.cpu(), child.peak()
        await asyncio.to_thread(child.stop)
    child.check()
    found: dict[str, float] = {}
    for line in out.read_bytes().splitlines():
        found |= json.loads(line)
    if "oldest_s" not in found or not found["states"]:
        raise Fatal("The listeners saw no state change", remedy=child.tail(500))
    oldest = found.pop("oldest_s")
    seen.append(Sample(oldest, int(found["states"]), cpu, peak, found | {"cpu_s": cpu}))

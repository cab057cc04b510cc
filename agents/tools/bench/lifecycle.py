"""`bench lifecycle`: the time from a command to the event that reports its end, at two sizes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.tools.bench.crowd import crowd
from agents.tools.bench.field import Field, Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.latency import HOW, offered, warm_up
from agents.tools.bench.machine import facts
from agents.tools.bench.peers.job import TOPICS
from agents.tools.bench.probe import Probe
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.demo.chunk import EventChunk
from agents.tools.operator_requests import command
from agents.tools.publish import Chunk, publish
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.lifecycle import State, Status
from schemas.records.registry import own_id
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader, read_all, read_table

__all__ = ["LifecycleOptions", "lifecycle"]

_DEADLINE_S = 300.0
_OFFERED_S = 120.0


@dataclass(frozen=True, slots=True)
class LifecycleOptions:
    """The sizes of the sources, and the rate of events beside them."""

    interactions: int = 10_000_000
    small: int = 100_000
    beside_rate: int = 20_000
    sources: int = 40
    partitions: int = 4
    runs: int = 3


class _Stage:
    """One environment with its worker, and the samples of all runs by name."""

    def __init__(self, here: Field, worker: Worker, say: Callable[[str], None]) -> None:
        self.here = here
        self.worker = worker
        self.say = say
        self.samples: dict[str, list[Sample]] = {}
        self.produced = 0  # bytes of keys and values, uncompressed
        self.archived_sources: list[str] = []

    async def fill(self, watch: Watch, campaign: str, interactions: int) -> None:
        """Publish a source's events and wait until they are folded and the source is stopped."""
        settings = self.here.settings
        record = {"key": f"campaign:{campaign}", "status": Status.STOPPED.value, "name": campaign}
        value = codec.encode("definition", record, own_id("definition"))
        await publish(settings, [Chunk("catalog", [record["key"].encode()], [value])])
        await publish(settings, self._counted(crowd(campaign, interactions)))
        ends = await self.here.ends(self.here.topics.event(event) for event in TOPICS)
        await watch.caught_up(self.worker, ends)
        deadline = time.monotonic() + _DEADLINE_S
        while await self._state(record["key"]) != State.STOPPED:
            if time.monotonic() > deadline:
                raise Fatal(f"{campaign} is not stopped", remedy=self.worker.tail(500))
        await self.worker.settled()
        self.archived_sources.append(record["key"])

    async def move(self, name: str, kind: str, campaign: str, interactions: int) -> None:
        """Send a command and wait for the event that reports its end."""
        settings, source = self.here.settings, f"campaign:{campaign}"
        topic = self.here.topics.expired if kind == "expire" else self.here.topics.restored
        record_name = "expired" if kind == "expire" else "restored"
        record = command(kind, (source,), reason="benchmark")
        value = codec.encode("command", record, own_id("command"))
        async with TopicReader.open(KafkaLog(settings), [topic], from_end=True) as reader:
            idle, start = self.worker.cpu(), time.monotonic()
            await publish(settings, [Chunk("control", [source.encode()], [value])])
            while True:
                found = [
                    codec.decode(located[2].value or b"", record_name)
                    for located in await reader.some()
                ]
                done = [event for event in found if event["source"] == source]
                if done:
                    break
                self.worker.check()
                if time.monotonic() - start > _DEADLINE_S:
                    raise Fatal(f"{kind} of {source} does not end", remedy=self.worker.tail(500))
        seconds = time.monotonic() - start
        if done[0]["interactions"] != interactions:
            raise Fatal(f"{kind} tells of {done[0]['interactions']} rows, not of {interactions}")
        cpu, peak = self.worker.cpu() - idle, self.worker.peak()
        self.samples.setdefault(name, []).append(Sample(seconds, interactions, cpu, peak))
        self.say(f"{name}: {seconds:.2f} s")

    async def archive_bytes(self) -> int:
        """Bytes of the archive's records of the measured sources: keys, values and headers."""
        keys = {source.encode() for source in self.archived_sources}
        return sum(
            len(record.key or b"")
            + len(record.value or b"")
            + sum(len(name) + len(value or b"") for name, value in record.headers)
            for _, _, record in await read_all(
                KafkaLog(self.here.settings), self.here.topics.archive
            )
            if record.key in keys
        )

    async def _state(self, source: str) -> str | None:
        states = await read_table(KafkaLog(self.here.settings), self.here.topics.state, "state")
        return states.get(source, {}).get("state")

    def _counted(self, chunks: Iterator[EventChunk]) -> Iterator[EventChunk]:
        for chunk in chunks:
            self.produced += sum(map(len, chunk.keys)) + sum(map(len, chunk.values))
            yield chunk


async def lifecycle(
    where: Ground, options: LifecycleOptions, say: Callable[[str], None]
) -> BenchReport:
    """Measure; `say` gets progress messages.

    Every run has its own sources, because a source that expires again without changes moves no
    data.
    """
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("lifecycle", settings, facts())
    async with field(where, options.partitions) as here, Watch(here.watch) as watch:
        with Worker(here) as worker:
            await worker.ready()
            stage = _Stage(here, worker, say)
            for number in range(options.runs):
                say(f"run {number + 1} of {options.runs}")
                for size, rows in (("large", options.interactions), ("small", options.small)):
                    campaign = f"{size}-{number}"
                    await stage.fill(watch, campaign, rows)
                    await stage.move(f"expire_{rows}", "expire", campaign, rows)
                    await stage.move(f"restore_{rows}", "restore", campaign, rows)
                    await stage.move(f"expire_again_{rows}", "expire", campaign, rows)
                await _beside(stage, watch, options, number)
            report.ratios["archive_bytes"] = await stage.archive_bytes() / stage.produced
    report.results |= {n: Measurement(found, rate=False) for n, found in stage.samples.items()}
    report.notes += [
        "seconds from just before the command is published until a read_committed consumer has "
        "the lifecycle event, of a worker that has flushed and merged what it took in before; "
        "expire_again moves nothing, its segments are archived already",
        f"beside: {options.beside_rate:,} events/s are offered while {options.interactions:,} "
        "interactions expire and are restored; seconds is the p99 from produce to readable",
        HOW,
        "archive_bytes: keys, values and headers of the archive's records over keys and values "
        "of the events as produced, uncompressed",
    ]
    return report


async def _beside(stage: _Stage, watch: Watch, options: LifecycleOptions, number: int) -> None:
    """Expire and restore a large source while events come in; measures the delay of those
    events.
    """
    campaign, rows = f"beside-{number}", options.interactions
    await stage.fill(watch, campaign, rows)
    probe = Probe(stage.here, stage.worker, 60.0)
    await probe.prepare()
    topics = stage.here.topics.events.values()  # those that `warm_up` counts
    async with offered(stage.here, options.beside_rate, options.sources, _OFFERED_S) as load:
        before = await warm_up(stage.here, load)
        idle, start = stage.worker.cpu(), time.monotonic()
        async with probe.running():
            await stage.move(f"beside_expire_{rows}", "expire", campaign, rows)
            await stage.move(f"beside_restore_{rows}", "restore", campaign, rows)
            spent = time.monotonic() - start
            events = sum((await stage.here.ends(topics)).values()) - before
    found = probe.facts() | {"offered_per_s": events / spent}
    cpu = stage.worker.cpu() - idle
    sample = Sample(probe.p99(), events, cpu, stage.worker.peak(), found)
    stage.samples.setdefault("beside_p99_produce_to_readable", []).append(sample)
    stage.say(f"beside: p99 {sample.seconds * 1000:.0f} ms")

"""`bench soak`: a worker under load for a long time, with expiry, restore, erasure and audiences.

What a leak or a slow decay would move must stay where it was: the memory and the disk of the
worker, and the times of answers and of events. At the end `emberline verify` reads everything.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.tools.bench.commands import seconds_of
from agents.tools.bench.crowd import crowd
from agents.tools.bench.endless import renewed
from agents.tools.bench.field import Field, Ground
from agents.tools.bench.field import field as opened_field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.latency import loading, warm_up
from agents.tools.bench.machine import facts
from agents.tools.bench.probe import Probe
from agents.tools.bench.worker import Worker
from agents.tools.demo.bench_events import bench_sources, bench_users
from agents.tools.process import COMMAND, Child
from agents.tools.publish import Chunk, publish
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.lifecycle import Status
from schemas.records.registry import own_id
from streams.kafka import clients

__all__ = ["SoakOptions", "growth", "soak"]

SAMPLE_S = 5.0
_DEADLINE_S = 300.0
_VERIFY_S = 900.0
_KEPT_BYTES = str(256 << 20)
_SEGMENT_BYTES = str(64 << 20)
_CAMPAIGN = "soaked"
_DAY_MS = 86_400_000
_TIMEOUT = aiohttp.ClientTimeout(total=60)
#: By how much the last third may be above the one before.
MEMORY, DISK, TIMES = 1.1, 1.25, 1.5


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """How long, the events offered a second and their sources, the events of the pool that is
    published again and again, and the interactions of the source that expires and comes back.
    """

    minutes: float = 30.0
    rate: int = 40_000
    sources: int = 40
    pool: int = 200_000
    moved: int = 100_000
    partitions: int = 4


@dataclass(slots=True)
class _Seen:
    """What was measured, in order of time."""

    memory: list[int] = field(default_factory=list)
    disk: list[int] = field(default_factory=list)
    audiences: list[float] = field(default_factory=list)
    expiries: list[float] = field(default_factory=list)
    restores: list[float] = field(default_factory=list)
    erasures: list[float] = field(default_factory=list)


def growth(
    values: Sequence[float], of: Callable[[Sequence[float]], float] = statistics.median
) -> float:
    """The last third of the values over the middle third, each summed up by `of`. The first third
    is the warm-up. Raises Fatal for fewer than three values.
    """
    third = len(values) // 3
    if not third:
        raise Fatal(f"{len(values)} values tell nothing", remedy="Let it run longer: --minutes")
    return of(values[-third:]) / of(values[-2 * third : -third])


async def soak(where: Ground, options: SoakOptions, say: Callable[[str], None]) -> BenchReport:
    """Measure; `say` gets progress messages. Raises Fatal if a step does not end, or an answer is
    wrong.
    """
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("soak", settings, facts())
    seconds = options.minutes * 60
    async with opened_field(where, options.partitions) as here:
        await _bounded(here)
        with Worker(here) as worker:
            await worker.ready()
            probe = Probe(here, worker, seconds)
            await probe.prepare()
            seen = _Seen()
            given = {"rate": options.rate, "sources": options.sources, "pool": options.pool}
            async with loading(here, "agents.tools.bench.endless", given) as load:
                before = await warm_up(here, load)
                idle, start = worker.cpu(), time.monotonic()
                try:
                    async with probe.running(), asyncio.TaskGroup() as tasks:
                        stop = asyncio.Event()
                        tasks.create_task(_ask_always(worker, options, seen, stop))
                        tasks.create_task(_move_always(here, worker, options, seen, stop))
                        await _until(start + seconds, here, worker, load, seen, say)
                        stop.set()
                except BaseExceptionGroup as group:  # one is enough to end it all
                    raise group.exceptions[0] from None
                spent = time.monotonic() - start
                events = sum((await here.ends(here.topics.events.values())).values()) - before
            cpu = worker.cpu() - idle
            sample = Sample(spent, events, cpu, worker.peak(), {"offered_per_s": events / spent})
            report.results["load"] = Measurement([sample])
            await worker.settled()
            say("`emberline verify` reads everything")
            whole = await _verified(here)
    _sum_up(report, seen, probe.delays, whole)
    return report


def _sum_up(report: BenchReport, seen: _Seen, delays: Sequence[float], whole: bool) -> None:
    for name, values in (
        ("audience", seen.audiences),
        ("produce_to_readable", delays),
        ("expire", seen.expiries),
        ("restore", seen.restores),
        ("erase", seen.erasures),
    ):
        if values:
            report.results[name] = Measurement([Sample(one) for one in values], rate=False)
    for name, found, most in (
        ("memory", growth(seen.memory), MEMORY),
        # compaction makes it go up and down
        ("disk", growth(seen.disk, max), DISK),
        ("audience_p95", growth(seen.audiences, _p95), TIMES),
        ("readable_p95", growth(delays, _p95), TIMES),
    ):
        report.ratios[name] = found
        report.kept[f"{name} is flat: at most {most:g}"] = found <= most
    report.kept["verify finds everything whole"] = whole
    report.notes += [
        "ratios: the last third of the time over the third before; the first third is the warm-up",
        "memory: resident, every 5 s; disk: all files of the worker, the largest of a third",
        "all the time one audience a second is asked; a source expires and comes back with changed "
        "rows, and its audience is refused or complete; after each turn a user is erased",
        "events have new ids and later times each, and few enough users to bound the rows",
    ]


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


async def _bounded(here: Field) -> None:
    """Let the topics of events keep few bytes: they are the producers', and would fill the disk."""
    bounds = {
        "cleanup.policy": "delete",
        "retention.bytes": _KEPT_BYTES,
        "segment.bytes": _SEGMENT_BYTES,
    }
    admin = clients.admin(here.settings, here.settings.client_id, clients.PATIENT_S)
    await admin.start()
    try:
        await admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, topic, dict(bounds))
                for topic in here.topics.events.values()
            ]
        )
    finally:
        await admin.close()


async def _until(
    end: float, here: Field, worker: Worker, load: Child, seen: _Seen, say: Callable[[str], None]
) -> None:
    """Take samples of memory and disk until the end."""
    told = time.monotonic()
    while (now := time.monotonic()) < end:
        worker.check()
        load.check()
        seen.memory.append(worker.resident())
        seen.disk.append(await asyncio.to_thread(_bytes, Path(here.settings.data_dir)))
        if now > told + 60:
            told = now
            say(
                f"{(end - now) / 60:.0f} min left: {seen.memory[-1] / 1e6:,.0f} MB of memory, "
                f"{seen.disk[-1] / 1e6:,.0f} MB of disk, {len(seen.restores)} restores"
            )
        await asyncio.sleep(min(SAMPLE_S, end - now))


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # a compaction has removed it
    return total


async def _ask_always(
    worker: Worker, options: SoakOptions, seen: _Seen, stop: asyncio.Event
) -> None:
    """One audience a second of the sources under load, each in turn."""
    campaigns = bench_sources(options.sources)
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        number = 0
        while not stop.is_set():
            body = {
                "filter": {
                    "and": [
                        {"filter": "received_from_campaign", "campaign": campaigns[number % 3]},
                        {"not": {
                            "filter": "clicked_opened_campaign",
                            "campaign": campaigns[number % len(campaigns)],
                            "action": "opened",
                        }},
                    ]
                }
            }  # fmt: skip
            number += 1
            start = time.monotonic()
            status, found = await _audience(session, worker, body)
            if status != HTTPStatus.OK:
                raise Fatal(f"An audience of hot sources is answered {status}: {found}")
            seen.audiences.append(time.monotonic() - start)
            await asyncio.sleep(max(0.0, start + 1.0 - time.monotonic()))


async def _move_always(
    here: Field, worker: Worker, options: SoakOptions, seen: _Seen, stop: asyncio.Event
) -> None:
    """One source gets new events, expires and comes back; then a user under load is erased."""
    source = f"campaign:{_CAMPAIGN}"
    record = {"key": source, "status": Status.STOPPED.value, "name": _CAMPAIGN}
    value = codec.encode("definition", record, own_id("definition"))
    await publish(here.settings, [Chunk("catalog", [source.encode()], [value])])
    users = bench_users(options.pool)
    body = {"filter": {"filter": "received_from_campaign", "campaign": _CAMPAIGN}}
    received = 0
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        turn = 0
        while not stop.is_set():
            rows = crowd(_CAMPAIGN, options.moved)
            await publish(here.settings, (renewed(one, turn, turn * _DAY_MS) for one in rows))
            await _caught_up(here, worker, session)
            status, found = await _audience(session, worker, body)
            if status != HTTPStatus.OK or (received and found["count"] != received):
                raise Fatal(f"{source} has {found}, of {received:,} users who received it")
            received = found["count"]
            seen.expiries.append(await seconds_of(here, "expire", source))
            status, found = await _audience(session, worker, body)
            if status != HTTPStatus.CONFLICT:
                raise Fatal(f"The audience of an expired source is answered {status}: {found}")
            seen.restores.append(await seconds_of(here, "restore", source))
            passing = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.CONFLICT)
            status, found = await _audience(session, worker, body, passing)
            if status != HTTPStatus.OK or found["count"] != received:
                raise Fatal(f"{source} came back with {found}, of {received:,} users")
            seen.erasures.append(await seconds_of(here, "erase", users=[users[turn % len(users)]]))
            turn += 1


async def _audience(
    session: aiohttp.ClientSession,
    worker: Worker,
    body: Mapping[str, Any],
    passing: Sequence[HTTPStatus] = (HTTPStatus.SERVICE_UNAVAILABLE,),
) -> tuple[int, Any]:
    """The status and the answer. It is asked again while the status is one that passes: a worker
    reads of the end of a restore a moment after who asked for it.
    """
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        async with session.post(f"{worker.url}/audience", json=body) as answer:
            found = await answer.json()
            if answer.status not in passing or time.monotonic() > deadline:
                return answer.status, found
        await asyncio.sleep(0.1)


async def _caught_up(here: Field, worker: Worker, session: aiohttp.ClientSession) -> None:
    """Wait until the worker has taken in all that is there now."""
    ends = await here.ends(here.topics.events.values())
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        shards = (await worker.get(session, "/status"))["shards"]
        cursors = {
            (topic, shard["partition"]): at
            for shard in shards
            for topic, at in shard["cursor"].items()
        }
        if all(cursors.get(partition, 0) >= end for partition, end in ends.items() if end):
            return
        if time.monotonic() > deadline:
            raise Fatal("The worker does not catch up", remedy=worker.tail(500))
        await asyncio.sleep(0.2)


async def _verified(here: Field) -> bool:
    """Whether `emberline verify` says that everything is whole."""
    out = here.folder / "verify.json"
    child = Child(
        [*COMMAND, "verify", "--json"], here.folder / "verify.log", here.environment(), out
    )
    try:
        return await asyncio.to_thread(child.wait, _VERIFY_S) == 0
    finally:
        await asyncio.to_thread(child.stop)

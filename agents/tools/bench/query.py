"""`bench query`: the duration of an audience, compared with DuckDB over the same rows."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from agents.tools.bench import duck
from agents.tools.bench.commands import seconds_of
from agents.tools.bench.crowd import crowd
from agents.tools.bench.erased import strangers
from agents.tools.bench.field import Field, Ground, field
from agents.tools.bench.figures import BenchReport, Measurement, Sample
from agents.tools.bench.latency import offered, warm_up
from agents.tools.bench.machine import facts
from agents.tools.bench.merged import merge
from agents.tools.bench.peers.job import TOPICS
from agents.tools.bench.watch import Watch
from agents.tools.bench.worker import Worker
from agents.tools.publish import Chunk, publish
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.lifecycle import State, Status
from schemas.records.registry import own_id

__all__ = ["QueryOptions", "query"]

_DEADLINE_S = 300.0
_BIG = "big"
_ALONE_S = 15.0
_OFFERED_S = 90.0
_SMALL = ("a", "b", "c", "d", "e")
_TIMEOUT = aiohttp.ClientTimeout(total=300)

ONE = {"filter": "received_from_campaign", "campaign": _BIG}
FIVE = {
    "and": [
        {"filter": "received_from_campaign", "campaign": "a"},
        {"or": [
            {"filter": "clicked_opened_campaign", "campaign": "b", "action": "opened"},
            {"filter": "clicked_alias_in_campaign", "campaign": "c", "alias": "cta"},
        ]},
        {"not": {"filter": "clicked_alias_in_campaign", "campaign": "d", "alias": "cta"}},
        {"filter": "clicked_opened_campaign", "campaign": "e", "action": "any"},
    ]
}  # fmt: skip
QUESTIONS = {"one": (ONE, duck.ONE), "five": (FIVE, duck.FIVE)}


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """The sizes of the sources."""

    interactions: int = 10_000_000
    each: int = 1_000_000
    beside_rate: int = 50_000
    partitions: int = 4
    runs: int = 5
    erased: int = 0
    merged: int = 0


class _Stage:
    def __init__(self, here: Field, worker: Worker, session: aiohttp.ClientSession) -> None:
        self.here = here
        self.worker = worker
        self.session = session
        self.samples: dict[str, list[Sample]] = {}
        self.counts: dict[str, int] = {}

    async def fill(self, watch: Watch, options: QueryOptions) -> None:
        """Publish all rows; wait until they are folded, flushed and merged, and every source is
        known.
        """
        settings = self.here.settings
        for name in (_BIG, *_SMALL):
            record = {"key": f"campaign:{name}", "status": Status.ACTIVE.value, "name": name}
            value = codec.encode("definition", record, own_id("definition"))
            await publish(settings, [Chunk("catalog", [record["key"].encode()], [value])])
            rows = options.interactions if name == _BIG else options.each
            await publish(settings, crowd(name, rows, users=_BIG))
        ends = await self.here.ends(self.here.topics.event(event) for event in TOPICS)
        await watch.caught_up(self.worker, ends)
        deadline = time.monotonic() + _DEADLINE_S
        while (await self.worker.get(self.session, "/status"))["sources"].get(State.ACTIVE) != 6:
            if time.monotonic() > deadline:
                raise Fatal("The sources are not active", remedy=self.worker.tail(500))
            await asyncio.sleep(0.1)
        await self.worker.settled(_DEADLINE_S)

    async def count(self, name: str, question: str, rows: int) -> None:
        """One query, answered with its count and the first thousand users."""
        body = {"filter": QUESTIONS[question][0]}
        idle, start = self.worker.cpu(), time.monotonic()
        async with self.session.post(f"{self.worker.url}/audience", json=body) as answer:
            found = await answer.json()
            if answer.status != 200:
                raise Fatal(f"/audience answers {answer.status}: {found}")
        self._took(name, time.monotonic() - start, rows, idle)
        self.counts[question] = found["count"]

    async def stream(self, name: str, question: str, rows: int) -> None:
        """One query, streamed: the times of the first row and of the last."""
        body, headers = {"filter": QUESTIONS[question][0]}, {"Accept": "application/x-ndjson"}
        idle, start = self.worker.cpu(), time.monotonic()
        url = f"{self.worker.url}/audience"
        first, tail = 0.0, b""
        async with self.session.post(url, json=body, headers=headers) as answer:
            async for piece in answer.content.iter_any():
                first = first or time.monotonic() - start
                tail = (tail + piece)[-200:]
        if b'"complete": true' not in tail:
            raise Fatal("The stream broke off", remedy=self.worker.tail(500))
        self._took(name, first, rows, idle, {"whole_s": time.monotonic() - start})

    @asynccontextmanager
    async def taking_in(self, name: str) -> AsyncIterator[None]:
        """Measures the events that the worker makes readable inside the block."""
        before, idle, start = await self._readable(), self.worker.cpu(), time.monotonic()
        yield
        events, seconds = await self._readable() - before, time.monotonic() - start
        sample = Sample(seconds, events, self.worker.cpu() - idle, self.worker.peak())
        self.samples.setdefault(name, []).append(sample)

    async def _readable(self) -> int:
        status = await self.worker.get(self.session, "/status")
        topics = self.here.topics.events.values()
        return sum(shard["cursor"].get(topic, 0) for shard in status["shards"] for topic in topics)

    def _took(
        self,
        name: str,
        seconds: float,
        rows: int,
        idle: float,
        more: dict[str, float] | None = None,
    ) -> None:
        cpu, peak = self.worker.cpu() - idle, self.worker.peak()
        self.samples.setdefault(name, []).append(Sample(seconds, rows, cpu, peak, more or {}))


async def query(where: Ground, options: QueryOptions, say: Callable[[str], None]) -> BenchReport:
    """Measure; `say` gets progress messages."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("query", settings, facts())
    five = len(_SMALL) * options.each
    async with (
        field(where, options.partitions) as here,
        Watch(here.watch) as watch,
        aiohttp.ClientSession(timeout=_TIMEOUT) as session,
    ):
        with Worker(here) as worker:
            await worker.ready()
            stage = _Stage(here, worker, session)
            say(f"ingesting {options.interactions + five:,} interactions")
            await stage.fill(watch, options)
            await stage.count("first_question", "one", options.interactions)
            for number in range(options.runs):
                await stage.count("one", "one", options.interactions)
                await stage.count("five", "five", five)
                await stage.stream("first_row", "one", options.interactions)
                say(f"run {number + 1} of {options.runs}: {_last(stage)}")
            counts = dict(stage.counts)
            await _yardstick(stage, report, options, say)
            if options.erased:
                say(f"the same after {options.erased:,} users without rows were erased")
                await seconds_of(here, "erase", users=strangers(options.erased))
                await worker.settled(_DEADLINE_S)
                for _ in range(options.runs):
                    await stage.count("erased_one", "one", options.interactions)
                    await stage.count("erased_five", "five", five)
                    await stage.stream("erased_first_row", "one", options.interactions)
                report.agree["counts_with_erased"] = stage.counts == counts
            say(f"the same while {options.beside_rate:,} events/s come in")
            async with offered(here, options.beside_rate, 40, _OFFERED_S, 0.2) as load:
                await warm_up(here, load)
                async with stage.taking_in("ingest_alone"):
                    await asyncio.sleep(_ALONE_S)
                async with stage.taking_in("ingest_beside"):
                    for _ in range(options.runs):
                        await stage.count("beside_one", "one", options.interactions)
                        await stage.count("beside_five", "five", five)
                        await stage.stream("beside_first_row", "one", options.interactions)
            report.agree["counts_beside_ingest"] = stage.counts == counts
            if options.merged:
                say(f"the same with {options.merged:,} users merged into as many others")
                await merge(here, worker, session, ONE, options.merged, _DEADLINE_S)
                for _ in range(options.runs):
                    await stage.count("merged_one", "one", options.interactions)
                    await stage.count("merged_five", "five", five)
                    await stage.stream("merged_first_row", "one", options.interactions)
                report.agree["counts_with_merges"] = (
                    stage.counts["one"] == counts["one"] - options.merged
                )
    _sum_up(report, stage, options)
    return report


async def _yardstick(
    stage: _Stage, report: BenchReport, options: QueryOptions, say: Callable[[str], None]
) -> None:
    if not duck.available():
        report.notes.append("DuckDB was not measured: install the extra `bench`")
        return
    say("the same rows in DuckDB")
    folder = stage.here.folder
    for name in (_BIG, *_SMALL):
        rows = await stage.worker.rows(stage.session, f"campaign:{name}")
        await asyncio.to_thread(rows.write_parquet, folder / f"{name}.parquet")
    with duck.Duck(folder) as peer:
        for question, (_, sql) in QUESTIONS.items():
            for _ in range(options.runs):
                seconds, count = await asyncio.to_thread(peer.answer, sql)
                stage.samples.setdefault(f"duckdb_{question}", []).append(Sample(seconds))
            report.agree[f"count_{question}"] = count == stage.counts[question]


def _last(stage: _Stage) -> str:
    return ", ".join(f"{name} {found[-1].seconds:.3f} s" for name, found in stage.samples.items())


def _sum_up(report: BenchReport, stage: _Stage, options: QueryOptions) -> None:
    report.results |= {
        name: Measurement(found, rate=name.startswith("ingest"))
        for name, found in stage.samples.items()
    }
    medians = {name: found.figure().median for name, found in report.results.items()}
    for ratio, over, under in (
        ("duckdb_one", "duckdb_one", "one"),
        ("duckdb_five", "duckdb_five", "five"),
        ("beside_one", "beside_one", "one"),
        ("beside_five", "beside_five", "five"),
        ("beside_first_row", "beside_first_row", "first_row"),
        ("ingest_beside", "ingest_beside", "ingest_alone"),
        ("erased_one", "one", "erased_one"),
        ("erased_five", "five", "erased_five"),
        ("erased_first_row", "first_row", "erased_first_row"),
        ("merged_one", "one", "merged_one"),
        ("merged_five", "five", "merged_five"),
        ("merged_first_row", "first_row", "merged_first_row"),
    ):
        if over in medians and under in medians:
            report.ratios[ratio] = medians[over] / medians[under]
    report.notes += [
        f"one: POST /audience, one leaf on a source of {options.interactions:,} interactions, "
        "count and the first thousand users; first_question is the same right after ingest, "
        "when the shards' users are not in memory yet",
        f"five: five leaves over five sources of {options.each:,} interactions, the roster is "
        "that of the large source",
        f"beside: while {options.beside_rate:,} events/s are offered, made beforehand, in five "
        "lots a second; ingest is what becomes readable, alone and beside the questions",
        "first_row: the same as one, streamed: seconds to the first row; whole_s to the last",
        "erased: the same after --erased users without rows were erased; the ratio is that of the "
        "rates, above 1 is faster than before",
        "merged: the same after --merged users became as many others, all of them with rows; the "
        "ratio is that of the rates",
        "duckdb: the same rows in a DuckDB table on the same machine, without HTTP, the answer "
        "in a table; its ratios are its seconds over ours",
    ]

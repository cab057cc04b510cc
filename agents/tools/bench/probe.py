"""Measures the time from produce to readable, with marked events.

A marked event is readable when the shard's cursor, as in GET /status, has passed the event's
offset: cursor and rows become visible together, with the step that committed them. Reading rows
every few milliseconds instead would itself slow the worker. Once a second the rows are read over
HTTP, and must contain every event that counts as readable.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import polars as pl
from aiokafka import AIOKafkaProducer

from agents.tools.bench.field import Field
from agents.tools.bench.worker import Worker
from agents.tools.demo.chunk import avro_chunk
from agents.tools.publish import Chunk, partitions_of, publish
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.lifecycle import Status
from schemas.records.registry import own_id
from streams.kafka import clients
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_table

__all__ = ["Probe"]

_WINDOW_S = 2.0  # a source is marked for so long: short answers, whatever the run's length
_PERIOD_S = 0.05
_POLL_S = 0.02
_CHECK_S = 1.0
_GIVE_UP_S = 60.0
_TIMEOUT = aiohttp.ClientTimeout(total=_GIVE_UP_S)


@dataclass(frozen=True, slots=True)
class _Mark:
    """One marked event and its offset. `due`: the time at which it should be produced."""

    source: str
    user: str
    due: float
    partition: int
    offset: int


class Probe:
    """Marks one event every 50 ms. `delays` are the seconds until each was readable.

    A delay begins at the time at which the event was due to be passed to the producer, so it
    includes delays of the producer. It ends with the poll, every 20 ms, that finds the event
    readable.
    """

    def __init__(self, field: Field, worker: Worker, seconds: float) -> None:
        self.delays: list[float] = []
        self.sources = [f"probe-{n}" for n in range(int(seconds / _WINDOW_S) + 2)]
        self._field = field
        self._worker = worker
        self._topic = field.topics.event("send")
        self._marks: list[_Mark] = []
        self._latest: _Mark | None = None

    async def prepare(self, seconds: float = 60.0) -> None:
        """Define the marked sources, and wait until the coordinator knows them."""
        settings, keys = self._field.settings, [f"campaign:{name}" for name in self.sources]
        schema_id = own_id("definition")
        records = [{"key": key, "status": Status.ACTIVE.value} for key in keys]
        values = [codec.encode("definition", record, schema_id) for record in records]
        await publish(settings, [Chunk("catalog", [k.encode() for k in keys], values)])
        deadline, state = time.monotonic() + seconds, self._field.topics.state
        while not set(keys) <= (await read_table(KafkaLog(settings), state, "state")).keys():
            self._worker.check()
            if time.monotonic() > deadline:
                raise Fatal("The coordinator has not read the catalog", remedy=self._worker.tail())
            await asyncio.sleep(_PERIOD_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Mark and follow events during the block; it ends when every marked event is readable."""
        stop = asyncio.Event()
        looking = asyncio.create_task(self._run(stop))
        try:
            yield looking
            stop.set()
            await looking
        finally:
            looking.cancel()

    def p99(self) -> float:
        """The 99th percentile of the delays, in seconds."""
        return statistics.quantiles(self.delays, n=100, method="inclusive")[98]

    def facts(self) -> dict[str, float]:
        """p50, p99 and the maximum of the delays in seconds, and their number."""
        return {
            "p50_s": statistics.median(self.delays),
            "p99_s": self.p99(),
            "max_s": max(self.delays),
            "probes": len(self.delays),
        }

    async def _run(self, stop: asyncio.Event) -> None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, asyncio.TaskGroup() as tasks:
            marking = tasks.create_task(self._mark(stop))
            checking = tasks.create_task(self._check(session))
            while not marking.done() or self._marks:
                await self._look(session)
                self._worker.check()
                await asyncio.sleep(_POLL_S)
            checking.cancel()

    async def _mark(self, stop: asyncio.Event) -> None:
        start = time.monotonic()
        number = 0
        settings = self._field.settings
        async with (
            clients.producer(
                settings, f"{settings.client_id}-probe", clients.PATIENT_S
            ) as producer,
            asyncio.TaskGroup() as tasks,
        ):
            while not stop.is_set():
                due = start + number * _PERIOD_S
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                window = int((due - start) / _WINDOW_S)
                source = self.sources[window % len(self.sources)]
                tasks.create_task(self._send(producer, source, f"marked-{number}", due))
                number += 1

    async def _send(self, producer: AIOKafkaProducer, source: str, user: str, due: float) -> None:
        columns: dict[str, list[Any]] = {
            "id": [user],
            "user_id": [user],
            "time": [int(time.time() * 1000)],
            "campaign_id": [source],
            "channel": ["EMAIL"],
        }
        chunk = avro_chunk("send", columns)
        (shard,) = partitions_of(chunk.keys, self._field.settings.partitions, "murmur2")
        sent = await producer.send_and_wait(
            self._topic, chunk.values[0], chunk.keys[0], partition=shard
        )
        self._marks.append(_Mark(f"campaign:{source}", user, due, shard, sent.offset))

    async def _look(self, session: aiohttp.ClientSession) -> None:
        status = await self._worker.get(session, "/status")
        now = time.monotonic()
        reached = {s["partition"]: s["cursor"].get(self._topic, 0) for s in status["shards"]}
        left = []
        for mark in self._marks:
            if reached.get(mark.partition, 0) > mark.offset:
                self.delays.append(now - mark.due)
                self._latest = mark
            elif now - mark.due > _GIVE_UP_S:
                raise Fatal(f"{mark} is not readable after {_GIVE_UP_S:.0f} s")
            else:
                left.append(mark)
        self._marks = left

    async def _check(self, session: aiohttp.ClientSession) -> None:
        """Once a second, read the rows and compare them with the cursors."""
        while True:
            await asyncio.sleep(_CHECK_S)
            mark = self._latest
            if mark is not None:
                rows = await self._worker.rows(session, mark.source)
                if rows.filter(pl.col("user") == mark.user).is_empty():
                    raise Fatal(f"{mark} counts as readable, and is in no answer")

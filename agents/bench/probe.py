"""From produce to readable: marked events whose rows are asked for over HTTP until they are there.

Every marked event is of a user of its own. It is readable when `/sources/{source}/interactions`
of the worker has its row in a complete answer; the delay runs from just before the event is
handed to the producer to just after that answer. So a poll's own time is in the delay.
"""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from agents.bench.field import Field
from agents.bench.worker import Worker
from agents.demo.chunk import avro_chunk
from agents.publish import Chunk, Publisher
from agents.topic_reader import read_table
from schemas import codec
from schemas.errors import Fatal

__all__ = ["Probe"]

_WINDOW_S = 2.0  # a source is marked for so long: short answers, whatever the run's length
_PERIOD_S = 0.05
_POLL_S = 0.01
_GIVE_UP_S = 30.0
_TIMEOUT = aiohttp.ClientTimeout(total=_GIVE_UP_S)


class Probe:
    """Marks one event every 50 ms. `delays` are the seconds each took to be readable."""

    def __init__(self, field: Field, worker: Worker, seconds: float) -> None:
        self.delays: list[float] = []
        self.sources = [f"probe-{n}" for n in range(int(seconds / _WINDOW_S) + 2)]
        self._field = field
        self._worker = worker
        self._sent: dict[str, tuple[str, float]] = {}

    async def prepare(self, seconds: float = 60.0) -> None:
        """Define the marked sources, and wait until the coordinator knows them."""
        settings, keys = self._field.settings, [f"campaign:{name}" for name in self.sources]
        values = [codec.encode("definition", {"key": k, "status": "ACTIVE"}) for k in keys]
        async with Publisher(settings) as publisher:
            await publisher.publish(Chunk("catalog", [k.encode() for k in keys], values))
        deadline = time.monotonic() + seconds
        while (
            not set(keys) <= (await read_table(settings, self._field.topics.state, "state")).keys()
        ):
            self._worker.check()
            if time.monotonic() > deadline:
                raise Fatal("The coordinator has not read the catalog", remedy=self._worker.tail())
            await asyncio.sleep(_PERIOD_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Mark and look inside the block; it ends when every marked event is readable."""
        stop = asyncio.Event()
        looking = asyncio.create_task(self._run(stop))
        try:
            yield looking
            stop.set()
            await looking
        finally:
            looking.cancel()

    async def _run(self, stop: asyncio.Event) -> None:
        marking = asyncio.create_task(self._mark(stop))
        try:
            async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
                while not marking.done() or self._sent:
                    for name in sorted({source for source, _ in self._sent.values()}):
                        await self._look(session, name)
                    self._worker.check()
                    await asyncio.sleep(_POLL_S)
            await marking
        finally:
            marking.cancel()

    def p99(self) -> float:
        """The 99th percentile of the delays, in seconds."""
        return statistics.quantiles(self.delays, n=100, method="inclusive")[98]

    def facts(self, prefix: str = "") -> dict[str, float]:
        """p50, p99 and the greatest delay in seconds, and how many were measured."""
        return {
            f"{prefix}p50_s": statistics.median(self.delays),
            f"{prefix}p99_s": self.p99(),
            f"{prefix}max_s": max(self.delays),
            f"{prefix}probes": len(self.delays),
        }

    async def _mark(self, stop: asyncio.Event) -> None:
        start = time.monotonic()
        number = 0
        async with Publisher(self._field.settings) as publisher:
            while not stop.is_set():
                now = time.monotonic()
                window = int((now - start) / _WINDOW_S)
                source, user = self.sources[window % len(self.sources)], f"marked-{number}"
                number += 1
                self._sent[user] = source, time.monotonic()
                columns: dict[str, list[Any]] = {
                    "id": [user],
                    "user_id": [user],
                    "time": [int(time.time() * 1000)],
                    "campaign_id": [source],
                    "channel": ["EMAIL"],
                }
                await publisher.publish(avro_chunk("send", columns))
                await publisher.flush()
                await asyncio.sleep(max(0.0, start + number * _PERIOD_S - time.monotonic()))

    async def _look(self, session: aiohttp.ClientSession, name: str) -> None:
        url = f"{self._worker.url}/sources/campaign:{name}/interactions?format=ndjson"
        async with session.get(url) as answer:
            lines = (await answer.text()).splitlines()
            if answer.status == 503:
                return  # not all shards have answered: it is not readable at this moment
            if answer.status != 200:
                raise Fatal(f"{url} answers {answer.status}: {lines[:1]}")
        now = time.monotonic()
        rows: Sequence[str] = lines[:-1]
        if not lines or json.loads(lines[-1]).get("complete") is not True:
            return
        for row in rows:
            sent = self._sent.pop(json.loads(row)["user"], None)
            if sent is not None:
                self.delays.append(now - sent[1])
        late = [user for user, (_, when) in self._sent.items() if now - when > _GIVE_UP_S]
        if late:
            raise Fatal(f"{len(late)} marked events are not readable after {_GIVE_UP_S:.0f} s")

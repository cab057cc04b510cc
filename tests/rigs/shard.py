"""One shard on a real broker, whose lifecycle the test sets through its state view."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agents.resources.budget import Budget
from agents.shard.ownership import Ownership
from agents.shard.shard import Shard
from agents.tools.oracle import Interactions
from agents.tools.publish import Chunk, publish
from agents.views.state_view import StateView
from schemas.decode.batch import unpack
from schemas.records import codec
from schemas.records.lifecycle import State
from schemas.tables.interaction import KEY
from streams.kafka import topics as topic_admin
from streams.kafka.environment import Environment
from streams.kafka.fetch import Fetcher
from streams.kafka.log import Log
from streams.kafka.topics import Topics
from streams.settings import Settings, load
from streams.state.state_store import shared_cache

DEADLINE_S = 60.0

START = 1_760_000_000_000

A, B, SMALL = "campaign:a", "canvas:b", "campaign:small"

Event = tuple[str, dict[str, Any]]


@pytest.fixture
async def alone(broker: str, prefix: str, tmp_path: Path) -> Settings:
    """One shard, with bounds so small that little data flushes, shares and merges."""
    flags = {
        "bootstrap_servers": broker,
        "prefix": prefix,
        "partitions": 1,
        "data_dir": tmp_path / "data",
        "delta_rows": 200,
        "segment_rows": 100,
        "own_rows": 60,
        "fan_in": 2,
        "late_rows": 40,
        "step_bytes": 20_000,
    }
    settings = load(flags, env={}, file=tmp_path / "none.toml")
    await topic_admin.create(settings)
    return settings


@dataclass
class Stand:
    """A running shard and what stands around it."""

    settings: Settings
    view: StateView
    shard: Shard
    task: "asyncio.Task[None]"

    async def tell(self, source: str, state: State, version: int, epoch: int = 1) -> None:
        record = {"source": source, "state": state.value, "version": version, "epoch": epoch}
        value = codec.encode("state", {**record, "updated_at": START})
        self.view.apply(source.encode(), value)
        await self.view.advance(version)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    async def applied(self, source: str, version: int) -> None:
        def reached() -> bool:
            done = self.shard._store.table.applied.get(source)
            return done is not None and done.version >= version

        await self.until(reached)

    async def rows(self, source: str, version: int | None = None) -> Interactions:
        found: Interactions = {}
        async for frame in self.shard.read(source, version):
            for *key, first, last in frame.select(*KEY, "first", "last").iter_rows():
                assert tuple(key) not in found, "a key stands in two frames"
                found[tuple(key)] = (first, last)
        return found

    async def send(self, events: Iterable[Event], already: int) -> None:
        topics = Topics(self.settings.prefix)
        sent = 0
        by_kind: dict[str, list[bytes]] = {}
        for kind, event in events:
            by_kind.setdefault(kind, []).append(codec.encode(kind, event))
            sent += 1
        chunks = []
        for kind, values in by_kind.items():
            users: list[bytes | None] = [b"any"] * len(values)
            chunks.append(Chunk(topics.event(kind).removeprefix(topics.prefix), users, values))
        await publish(self.settings, chunks)
        await self.until(lambda: self.shard._ingest.events >= already + sent)

    async def reports(self, phase: str) -> list[dict[str, Any]]:
        topic = Topics(self.settings.prefix).shard_reports
        fetcher = Fetcher(self.settings, {(topic, 0): 0})
        await fetcher.start()
        found = []
        for _ in range(2):
            for batch in await fetcher.fetch(100):
                for record in unpack(batch):
                    items: Any = codec.decode(record.value or b"", "report")["items"]
                    found += [one for one in items if (one["trouble"] or one["phase"]) == phase]
        await fetcher.close()
        return found

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def start(
    settings: Settings,
    view: StateView | None = None,
    *,
    caught_up: bool = True,
    ownership: Ownership | None = None,
    shards: int = 1,
    kafka: Log | None = None,
) -> Stand:
    view = view or StateView()
    environment = Environment.of(settings)
    if kafka is not None:
        environment = replace(environment, kafka=kafka)
    if caught_up:
        view.caught_up.set()

    async def deliver(shard: Shard, fetched: object) -> None:
        await shard.offer(fetched)

    cache = shared_cache(8 << 20)
    budget = Budget(settings, shards)
    shard = Shard(environment, 0, view, cache, budget, deliver, ownership)
    stand = Stand(settings, view, shard, asyncio.create_task(shard.run()))
    await stand.until(lambda: shard.ready)
    return stand


def events(count: int, seed: int = 0, sources: tuple[str, ...] = (A, B)) -> list[Event]:
    """Sends and opens of a few hundred users; every tenth one of a small source too."""
    made: list[Event] = []
    for number in range(count):
        source = SMALL if number % 10 == 9 else sources[number % len(sources)]
        kind, _, name = source.partition(":")
        made.append(
            (
                "open" if number % 3 == 0 else "send",
                {
                    "id": f"{seed}-{number}",
                    "user_id": f"{(number * 7 + seed) % 331:024x}",
                    "time": START + number * 10 + seed,
                    f"{kind}_id": name,
                    "channel": "EMAIL",
                },
            )
        )
    return made

"""How fast one worker answers about users over HTTP.

    python -m tests.bench.users [users] [rows] [sources]

Needs no broker: the test fills the shards directly; the web server and its client are real, and
share one process. Prints milliseconds for each answer: right after ingest (nothing is indexed: the
first answers and later ones), after the index is built, and for one user of each shard with rows of
every source. `late` is the longest time that the event loop was blocked.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import polars as pl
from aiohttp import web

from agents.scatter.context import WorkerContext
from agents.shard.jobs.context import ShardContext
from agents.shard.users import ShardUsers
from agents.supervision.shard_manager import ShardManager
from agents.supervision.topic_watch import TopicWatch
from agents.users.facts import UsersRead
from agents.users.person import Match
from agents.views.state_view import StateView
from agents.web.server import routes
from schemas.tables.delta import encode
from schemas.tables.placement import partition_of
from schemas.tables.roster import ROSTER_SCHEMA, Alias
from streams.group.shard_plan import Directory
from streams.kafka.environment import Environment
from streams.settings import load
from streams.state import auxiliary_table as auxiliary
from streams.state import compaction_plan, keys
from streams.state.hot_table import HotTable, Put
from streams.state.state_store import StateStore, shared_cache
from streams.state.store import bounded, new_id
from streams.user_index.by_user import ByUser
from tests.bench.by_user import FLUSH_ROWS, LIMITS, RUN_ROWS, START, events, user_names

SHARDS = 4
READS = 1_000


class Shard:
    """One shard's table, state store, index and roster."""

    ready = True

    def __init__(self, folder: Path, partition: int, cache: Any, view: StateView) -> None:
        self.partition = partition
        self.table, self.state_store = HotTable(), StateStore(folder / f"state-{partition}", cache)
        self.index = ByUser(folder / f"users-{partition}", cache)
        self.index.open("bench")
        context = cast(ShardContext, SimpleNamespace(store=self, view=view, partition=partition))
        self.people = ShardUsers(context, self.index)

    async def users(self, users: Sequence[str]) -> UsersRead:
        return await self.people.read(users)

    async def find_users(self, externals: Sequence[str], aliases: Sequence[Alias]) -> list[Match]:
        return await self.people.find(externals, aliases)

    def commit(self, puts: list[Put], frames: dict[bytes, pl.DataFrame] | None = None) -> None:
        self.state_store.apply(puts, 1)
        self.index.follow(puts, self.table)
        self.table.apply(puts, frames)

    def delta(self, letter: bytes, frame: pl.DataFrame) -> None:
        key = keys.delta(self.table.next_sequence, 0, letter)
        coded = encode(frame)
        self.commit([(key, coded)], {key: frame})

    def fill(self, names: pl.Series, rows: int, sources: int) -> None:
        """Everything flushed but the last few steps, as in a worker that takes events in."""
        self.delta(auxiliary.ROSTER.delta, roster(names))
        for number in range(-(-rows // FLUSH_ROWS)):
            self.delta(b"d", events(number, min(FLUSH_ROWS, rows), names, sources))
            self.flush()
        for number in range(20):
            self.delta(b"d", events(1_000 + number, 2_500, names, sources))

    def please(self, user: str, sources: int) -> None:
        """Everything there is, for one user."""
        self.delta(b"d", events(5_000, 5 * sources, pl.Series([user]), sources))
        self.flush()

    def flush(self) -> None:
        puts = compaction_plan.flush(self.table.deltas, lambda: new_id(START), LIMITS)
        for each in auxiliary.TABLES:
            found = self.table.auxiliary[each.delta]
            puts += auxiliary.flush(each, found, lambda: new_id(START), 900_000)
        self.commit(puts)

    async def settle(self) -> None:
        """The index covers everything, in few runs."""
        waiting = self.index.uncovered(self.table)
        for chosen in bounded(waiting, lambda index: index.rows, RUN_ROWS):
            await self.index.index(chosen, self.state_store)
        while await self.index.compact(self.table):
            pass

    def close(self) -> None:
        self.index.close()
        self.state_store.close()


def roster(names: pl.Series) -> pl.DataFrame:
    """Every user with an external id and an alias."""
    return pl.DataFrame({"user": names}).select(
        "user",
        ("ext-" + pl.col("user")).alias("external"),
        ('["alias-' + pl.col("user") + '"]').alias("aliases"),
        pl.lit(None, pl.String).alias("merged_into"),
        pl.lit(False).alias("deleted"),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("sequence"),
    ).select(ROSTER_SCHEMA.names())  # fmt: skip


async def timed(what: str, ask: Callable[[], Awaitable[None]], times: int, warm: int = 5) -> None:
    """Prints quantiles of several answers, one after another."""
    for _ in range(warm):
        await ask()
    walls: list[float] = []
    late: list[float] = [0.0]
    watch = asyncio.create_task(_lateness(late))
    cpu = time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        walls.append((time.perf_counter() - began) * 1e3)
    cpu = (time.process_time() - cpu) / times * 1e3
    watch.cancel()
    p50, p99 = (sorted(walls)[times * share // 100] for share in (50, 99))
    held_up = sorted(late)[len(late) * 99 // 100]
    print(
        f"{what:34} p50 {p50:6.1f}  p99 {p99:6.1f}  most {max(walls):6.1f} ms; CPU {cpu:5.1f} ms; "
        f"late p99 {held_up:.1f} ms"
    )


async def _lateness(late: list[float]) -> None:
    """Notes by how many milliseconds the event loop is late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.002
        await asyncio.sleep(0.002)
        late.append((loop.time() - due) * 1e3)


async def measure(
    shards: Sequence[Shard], names: pl.Series, view: StateView, keen: Sequence[str]
) -> None:
    """Serve the shards and ask for random users, and for the keen ones."""
    view.caught_up.set()
    held = {shard.partition: shard for shard in shards}
    manager = SimpleNamespace(
        shards=held, generation=1, directory=Directory(), check_in_touch=lambda: None
    )
    settings = load({"partitions": SHARDS}, env={}, file=Path("none"))
    environment = Environment.of(settings)
    context = WorkerContext(
        settings, cast(ShardManager, manager), view, TopicWatch(environment), environment.kafka
    )
    app = web.Application()
    routes(app, context)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    chosen = random.Random(1)

    def one() -> str:
        return str(names[chosen.randrange(len(names))])

    async with aiohttp.ClientSession() as session:

        async def get(path: str) -> None:
            async with session.get(base + path) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()

        async def post(body: dict[str, Any]) -> None:
            async with session.post(f"{base}/users/export/ids", json=body) as answer:
                found = await answer.json()
                assert answer.status == 200, found
                assert len(found["users"]) == 50

        every = range(len(names))

        def profile() -> Awaitable[None]:
            return get(f"/users/{one()}")

        def export() -> Awaitable[None]:
            return post({"external_ids": [f"ext-{names[n]}" for n in chosen.sample(every, 50)]})

        await timed("right after ingest, first answers", profile, SHARDS * 3, warm=0)
        await timed("right after ingest", profile, READS // 10)
        await timed("right after ingest, 50 users", export, 5)
        for shard in shards:
            await shard.settle()
        await timed("GET /users/{user id}", profile, READS)
        await timed("GET /users/{external id}", lambda: get(f"/users/ext-{one()}?by=external"),
                    READS // 5)  # fmt: skip
        await timed("GET /users/{alias}", lambda: get(f"/users/alias-{one()}?by=alias"), READS // 5)
        await timed("POST /users/export/ids, 50", export, READS // 10)
        await timed("GET /users/{a keen user's id}", lambda: get(f"/users/{chosen.choice(keen)}"),
                    READS // 10)  # fmt: skip
    await runner.cleanup()
    await context.peers.close()


async def main(users: int = 1_000_000, rows: int = 4_000_000, sources: int = 200) -> None:
    """Fills four shards and measures."""
    with TemporaryDirectory() as folder:
        cache, view = shared_cache(100_000_000), StateView()
        names = user_names(users)
        placed, keen = partition_of(names, SHARDS), list[str]()
        shards = [Shard(Path(folder), number, cache, view) for number in range(SHARDS)]
        for shard in shards:
            theirs = names.filter(placed == shard.partition)
            shard.please(theirs[0], sources)
            keen.append(theirs[0])
            shard.fill(theirs, rows // SHARDS, sources)
        print(f"{users:,} users, {rows:,} rows, {sources} sources; load {os.getloadavg()[0]:.1f}")
        await measure(shards, names, view, keen)
        print(f"load {os.getloadavg()[0]:.1f}")
        for shard in shards:
            shard.close()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))

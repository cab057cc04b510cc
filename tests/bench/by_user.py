"""How fast users are read from one shard, and the cost of their index.

    python -m tests.bench.by_user [rows] [users] [sources]

Needs no broker. Prints milliseconds for each read, and microseconds of CPU for each indexed row.
"""

import asyncio
import os
import random
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from schemas.tables.delta import encode
from schemas.tables.interaction import CHANNELS, KINDS, SCHEMA
from streams.state import compaction_plan, keys
from streams.state.hot_table import HotTable, Put
from streams.state.state_store import StateStore, shared_cache
from streams.state.store import bounded, new_id
from streams.user_index.by_user import ByUser

LIMITS = compaction_plan.SegmentLimits(rows=50_000, bytes=900_000, own_rows=4_000)
FLUSH_ROWS = 300_000
RUN_ROWS = 250_000
READS = 400
START = 1_760_000_000_000


def user_names(count: int) -> pl.Series:
    """As many random users of 24 hex digits."""
    return pl.Series([secrets.token_hex(12) for _ in range(count)])


def events(seed: int, count: int, names: pl.Series, sources: int) -> pl.DataFrame:
    """Random interactions of any of these users with any of as many sources."""

    def chance(bound: int, salt: int) -> pl.Series:
        return (pl.int_range(count, eager=True).hash(seed * 97 + salt) % bound).cast(pl.Int64)

    first = START + chance(10**9, 5)
    columns = {
        "source": "campaign:" + chance(sources, 1).cast(pl.String).str.zfill(24),
        "user": names.gather(chance(len(names), 2)),
        "kind": chance(4, 3).cast(pl.UInt8).cat.to(pl.Enum(KINDS)),
        "channel": chance(3, 4).cast(pl.UInt8).cat.to(pl.Enum(CHANNELS)),
        "first": first,
        "last": first + chance(10**6, 6),
        "variation": pl.Series(["variation-a", "variation-b"]).gather(chance(2, 7)),
    }
    frame = pl.DataFrame(columns)
    absent = [pl.lit(None, pl.String).alias(name) for name in ("step", "detail")]
    return frame.with_columns(*absent).select(SCHEMA.names())


class Bench:
    """One shard's table, state store and index, filled step by step."""

    def __init__(self, folder: Path, rows: int, users: int, sources: int) -> None:
        cache = shared_cache(100_000_000)
        self.table, self.state_store = HotTable(), StateStore(folder / "state", cache)
        self.users = ByUser(folder / "users", cache)
        self.users.open("bench")
        self.names = user_names(users)
        for number in range(-(-rows // FLUSH_ROWS)):
            self.commit_delta(events(number, min(FLUSH_ROWS, rows), self.names, sources))
            self.commit(compaction_plan.flush(self.table.deltas, lambda: new_id(START), LIMITS))
        self.rows = sum(index.rows for index in self.table.segments.values())
        for number in range(40):
            self.commit_delta(events(1_000 + number, 2_500, self.names, sources))

    def commit(self, puts: list[Put], frames: dict[bytes, pl.DataFrame] | None = None) -> None:
        self.state_store.apply(puts, 1)
        self.users.follow(puts, self.table)
        self.table.apply(puts, frames)

    def commit_delta(self, frame: pl.DataFrame) -> None:
        key = keys.delta(self.table.next_sequence, 0)
        self.commit([(key, encode(frame))], {key: frame})

    async def index(self) -> None:
        waiting = self.users.uncovered(self.table)
        for chosen in bounded(waiting, lambda index: index.rows, RUN_ROWS):
            await self.users.index(chosen, self.state_store)

    async def compact(self) -> None:
        while await self.users.compact(self.table):
            pass

    def read(self, count: int) -> None:
        users = [self.names[random.randrange(len(self.names))] for _ in range(count)]
        self.users.pin(self.table, self.state_store).find(users)


def timed(what: str, work: Callable[[], object], times: int) -> None:
    """Prints quantiles of several calls: time passed, and CPU, which other load leaves alone."""
    work()
    walls, costs = [], []
    for _ in range(times):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append((time.perf_counter() - began) * 1e3)
        costs.append((time.process_time() - cpu) * 1e3)
    p50, p99 = (sorted(walls)[times * share // 100] for share in (50, 99))
    cpu50, cpu99 = (sorted(costs)[times * share // 100] for share in (50, 99))
    print(
        f"{what:32} p50 {p50:6.1f}  p99 {p99:6.1f} ms;  CPU p50 {cpu50:6.1f}  p99 {cpu99:6.1f} ms"
    )


def costed(what: str, work: Callable[[], object], rows: int) -> None:
    """Prints what one call costs a row, in microseconds of CPU."""
    cpu, began = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    print(f"{what:42} {cpu / rows * 1e6:5.2f} us of CPU a row, {wall:.1f} s")


def main(rows: int = 2_500_000, users: int = 250_000, sources: int = 200) -> None:
    """Fills, reads without the index, indexes, reads with it."""
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder), rows, users, sources)
        found = f"{bench.rows} rows in {len(bench.table.segments)} segments"
        print(f"{found}, {bench.table.delta_rows} in deltas; load {os.getloadavg()[0]:.1f}")
        costed("one user, the first who is asked for", lambda: bench.read(1), bench.rows)
        timed("one user, nothing indexed", lambda: bench.read(1), 20)
        costed("index", lambda: asyncio.run(bench.index()), bench.rows)
        print(f"runs: {[run.rows for run in bench.users.runs]}")
        timed("one user, runs not merged", lambda: bench.read(1), READS)
        costed("merge runs", lambda: asyncio.run(bench.compact()), bench.rows)
        print(f"runs: {[run.rows for run in bench.users.runs]}")
        timed("one user", lambda: bench.read(1), READS)
        timed("fifty users", lambda: bench.read(50), READS // 10)
        size = sum(file.stat().st_size for file in Path(folder, "users").glob("*"))
        print(f"{size / bench.rows:.1f} bytes a row on disk; load {os.getloadavg()[0]:.1f}")
        bench.users.close()
        bench.state_store.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

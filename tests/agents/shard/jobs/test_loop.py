"""The work loop makes room for ingest, also if the limits change meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from agents.resources.budget import Budget
from agents.shard.jobs.compact import window_merge
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.indexer import Indexer
from agents.shard.jobs.loop import WorkLoop
from agents.shard.jobs.restore import Restore
from agents.views.state_view import StateView
from schemas.segment.index import SegmentIndex
from schemas.tables.roster import roster_rows
from streams.kafka.environment import Environment
from streams.settings import load
from streams.state import auxiliary_table as auxiliary
from streams.state import keys
from streams.state.state_store import StateStore, shared_cache
from streams.state.store import Store


def test_small_entries_of_hashes_are_put_together_oldest_first() -> None:
    def key(number: int) -> bytes:
        return keys.delta(number, 0, b"h")

    assert window_merge({key(n): 1 for n in range(1_000)}) == []
    many = {key(n): 1 for n in range(1_500)}
    assert window_merge(many) == [key(n) for n in range(1_000)]
    # large ones are left alone, and no entry outgrows a record
    mixed = {key(n): 80_000 if n % 3 else 20_000 for n in range(1_500)}
    assert window_merge(mixed) == []
    tens = {key(n): 10_000 for n in range(1_500)}
    assert window_merge(tens) == [key(n) for n in range(9)]
    # a window that lives for long on single events stays short
    window: dict[bytes, int] = {}
    longest = 0
    for number in range(20_000):
        window[key(number)] = 1
        if chosen := window_merge(window):
            rows = sum(window.pop(each) for each in chosen)
            window[chosen[-1]] = rows
        longest = max(longest, len(window))
    assert sum(window.values()) == 20_000
    assert longest <= 1_001


class Nothing:
    """An index with nothing to do."""

    rest_s = 0.0

    async def step(self) -> bool:
        return False


class Held:
    """A work loop over a store that cannot commit: what it does not flush stays."""

    def __init__(self, folder: Path) -> None:
        settings = load({"memory_budget": 100_000_000, "data_dir": folder}, env={})
        cache = shared_cache(1_000_000)
        self.store = Store(Environment.of(settings), 0, folder, cache)
        self.store._state_store = StateStore(folder / "state", cache)
        self.budget = Budget(settings, shards=16)
        context = ShardContext(Environment.of(settings), 0, self.store, StateView())
        self.loop = WorkLoop(context, self.budget, cast(Indexer, cast(Any, Nothing())))


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    opened = Held(tmp_path)
    yield opened
    opened.store.state_store.close()


async def test_ingest_continues_once_shards_move_away(held: Held) -> None:
    held.store.table.deltas.rows = held.budget.delta_rows_full
    held.loop.check_room()
    assert not held.loop.room.is_set()
    held.budget.shards = 4
    assert held.store.table.delta_rows < held.budget.delta_rows
    await held.loop._once()
    assert held.loop.room.is_set()


async def test_users_alone_fill_the_budget_too(held: Held) -> None:
    table = held.store.table
    names = [f"user-{number}" for number in range(2_000)]
    sequence = 0
    while table.auxiliary_bytes < held.budget.auxiliary_bytes_full:
        rows = roster_rows([(name, {"user_id": name}) for name in names], sequence)
        sequence += len(names)
        key = keys.delta(sequence, 0, auxiliary.ROSTER.delta)
        table.apply([(key, b"")], {key: rows})
        held.loop.check_room()
    assert table.delta_rows == 0
    assert held.loop.flush_due
    assert not held.loop.room.is_set()
    table.apply([(key, None) for key in list(table.auxiliary[auxiliary.ROSTER.delta])])
    assert table.auxiliary_bytes == 0
    await held.loop._once()
    assert held.loop.room.is_set()
    assert not held.loop.flush_due


def segment(number: int, source: str = "campaign:a") -> SegmentIndex:
    """A small segment of a source, of all users."""
    low, high = (source, "a"), (source, "z")
    return SegmentIndex(f"{number:024x}", 0, 5_000, 80_000, "", low, high, {source: 5_000})


def kept(held: Held, segments: list[SegmentIndex]) -> None:
    held.store.table.apply((keys.index(one.id), one.to_json()) for one in segments)


async def test_ingest_waits_while_too_much_waits_for_a_merge(held: Held) -> None:
    """A loop that cannot commit merges nothing, so ingest waits until the segments are gone."""
    some = [segment(number) for number in range(100)]
    kept(held, some)
    held.loop.check_room()
    assert held.loop.room.is_set(), "8 MB may wait"
    more = [segment(100 + number) for number in range(200)]
    kept(held, more)
    held.loop.check_room()
    assert not held.loop.room.is_set()
    held.store.table.apply((keys.index(one.id), None) for one in some + more)
    await held.loop._once()
    assert held.loop.room.is_set()


def test_where_much_is_merged_as_much_may_wait(held: Held) -> None:
    sources = [f"campaign:{number}" for number in range(300)]
    kept(held, [segment(number, source) for number, source in enumerate(sources)])
    held.loop.check_room()
    assert held.loop.room.is_set(), "segments that do not overlap wait for nothing"
    kept(held, [segment(1_000 + number) for number in range(290)])
    held.loop.check_room()
    assert held.loop.room.is_set()
    kept(held, [segment(2_000 + number) for number in range(20)])
    held.loop.check_room()
    assert not held.loop.room.is_set()


def test_ingest_does_not_wait_for_segments_that_a_job_has_chosen(held: Held) -> None:
    """No merge may take them, so nothing would end the wait."""
    kept(held, [segment(number) for number in range(300)])
    held.loop._job = Restore(held.loop._context, {"campaign:a": (1, 1)})
    held.loop.check_room()
    assert held.loop.room.is_set()
    held.loop._job = None
    held.loop.check_room()
    assert not held.loop.room.is_set()

"""The index by user: reads are correct after any change to the index and to the table."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rocksdict import Cache

from streams.state.rocks import StoreClosed
from streams.state.state_store import shared_cache
from streams.user_index import block as by_user_block
from streams.user_index import by_user
from streams.user_index import merge as by_user_merge
from streams.user_index import runs as by_user_runs
from streams.user_index.by_user import ByUser
from streams.user_index.store import UserStore
from tests.rigs.rows import as_dict, random_rows
from tests.rigs.user_index import Rig

USERS = [f"{number:024x}" for number in range(12)]
SOURCES = [f"campaign:{number:04d}" for number in range(5)]


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    """Blocks, tiers and steps so small that little data makes many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_user_block, "BLOCK_ROWS", 7)
        patch.setattr(by_user_merge, "BLOCKS_PER_STEP", 3)
        patch.setattr(by_user_runs, "FAN_IN", 2)
        yield


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


async def settle(rig: Rig) -> None:
    """Indexes everything and merges until nothing is left to do."""
    for _ in range(500):
        if await rig.users.compact(rig.table):
            continue
        if not rig.users.uncovered(rig.table):
            return
        await rig.index()
    pytest.fail("the index does not come to rest")


step = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 1000)),
    st.tuples(
        st.sampled_from(["flush", "merge", "index", "compact", "reopen", "crash"]), st.just(0)
    ),
    st.tuples(st.sampled_from(["hide", "drop", "bring", "show"]), st.integers(0, len(SOURCES) - 1)),
)


async def play(rig: Rig, name: str, number: int) -> None:
    match name:
        case "add":
            rig.add(random_rows(number, 40, sources=len(SOURCES), users=len(USERS)))
        case "hide":
            rig.hide(SOURCES[number])
        case "drop" | "bring" | "show" if SOURCES[number] in rig.hidden:
            getattr(rig, name)(SOURCES[number])
        case "index":
            await rig.index()
        case "compact":
            await rig.users.compact(rig.table)
        case "flush" | "merge" | "reopen" | "crash":
            getattr(rig, name)()


@settings(max_examples=50)
@example(
    steps=[
        ("add", 1),
        ("flush", 0),
        ("add", 2),
        ("flush", 0),
        ("index", 0),
        ("add", 3),
        ("flush", 0),
        ("index", 0),
        ("hide", 1),
        ("drop", 1),
        *[("compact", 0)] * 9,
        ("show", 1),
    ]
)
@given(steps=st.lists(step, min_size=4, max_size=30))
def test_reads_agree_with_all_that_was_ever_added(steps: list[tuple[str, int]]) -> None:
    async def run(rig: Rig) -> None:
        for name, number in steps:
            await play(rig, name, number)
            assert rig.found(USERS[:3]) == rig.expected(USERS[:3])
        await settle(rig)
        for user in USERS:
            assert rig.found([user]) == rig.expected([user])
        for source in sorted(rig.hidden):
            rig.show(source)
        assert rig.found(USERS) == rig.expected(USERS)

    with TemporaryDirectory() as folder:
        rig = Rig(Path(folder))
        asyncio.run(run(rig))
        rig.close()


def filled(rig: Rig, flushes: int, start: int = 0) -> None:
    for seed in range(start, start + flushes):
        rig.add(random_rows(seed, 60, sources=len(SOURCES), users=len(USERS)))
        rig.flush()


async def test_what_merges_and_separations_make_of_covered_segments_is_covered(rig: Rig) -> None:
    filled(rig, 6)
    await rig.index(most=100)
    for _ in range(5):
        rig.merge()
    rig.hide(SOURCES[1])
    assert not rig.users.uncovered(rig.table)
    filled(rig, 1, start=6)
    fresh = rig.users.uncovered(rig.table)
    assert fresh
    rig.drop(SOURCES[1])
    await settle(rig)
    rig.users.covered &= rig.table.segments.keys()
    rig.show(SOURCES[1])
    assert {source for i in rig.users.uncovered(rig.table) for source in i.sources} == {SOURCES[1]}


async def test_a_merge_of_runs_drops_what_no_covered_segment_holds(rig: Rig) -> None:
    filled(rig, 1)
    await rig.index(most=100)
    rig.hide(SOURCES[1])
    rig.drop(SOURCES[1])
    while len(rig.users.runs) < by_user_runs.FAN_IN:
        filled(rig, 1, start=len(rig.added))
        rig.drop(SOURCES[1])
        await rig.index(most=100)
    while await rig.users.compact(rig.table):
        pass
    rows = rig.users.pin(rig.table, rig.state_store).rows(USERS)
    assert SOURCES[1] not in rows["source"]
    assert rig.found(USERS) == rig.expected(USERS)


async def test_an_index_of_another_table_is_thrown_away(rig: Rig) -> None:
    filled(rig, 2)
    await settle(rig)
    assert rig.users.runs
    rig.reopen("two")
    assert not rig.users.runs
    assert not rig.users.covered
    assert rig.found(USERS) == rig.expected(USERS)


def test_who_was_closed_before_it_opened_does_not_open(tmp_path: Path) -> None:
    cache = shared_cache(1 << 20)
    users = ByUser(tmp_path / "users", cache)
    # a shard that is cancelled while it waits for a thread to open this
    users.close()
    with pytest.raises(StoreClosed):
        _ = users.store
    with pytest.raises(RuntimeError, match="was closed"):
        users.open("one")
    successor = ByUser(tmp_path / "users", cache)
    successor.open("one")
    successor.close()


def test_who_closes_waits_for_who_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = shared_cache(1 << 20)
    opening, go_on = threading.Event(), threading.Event()

    class Slow(UserStore):
        def __init__(self, folder: Path, cache: Cache, identity: str) -> None:
            opening.set()
            assert go_on.wait(30)
            super().__init__(folder, cache, identity)

    monkeypatch.setattr(by_user, "UserStore", Slow)
    users = ByUser(tmp_path / "users", cache)
    with ThreadPoolExecutor(2) as threads:
        opened = threads.submit(users.open, "one")
        assert opening.wait(30)
        closed = threads.submit(users.close)
        go_on.set()
        opened.result(30)
        closed.result(30)
    monkeypatch.undo()
    successor = ByUser(tmp_path / "users", cache)
    successor.open("one")
    successor.close()


async def test_a_read_in_hand_survives_merges_of_segments_and_runs(rig: Rig) -> None:
    filled(rig, 4)
    await rig.index(most=2)
    pinned, before = rig.users.pin(rig.table, rig.state_store), rig.expected(USERS)
    filled(rig, 3, start=4)
    for _ in range(5):
        rig.merge()
    await settle(rig)
    assert as_dict([pinned.rows(USERS)]) == before
    assert rig.found(USERS) == rig.expected(USERS)


async def test_distrust_starts_again(rig: Rig) -> None:
    filled(rig, 4)
    await settle(rig)
    rig.users.distrust()
    assert rig.found(USERS) == rig.expected(USERS)
    await settle(rig)
    assert rig.users.runs
    rig.reopen()
    assert rig.users.runs
    assert rig.found(USERS) == rig.expected(USERS)

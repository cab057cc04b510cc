"""Running work is limited by kind, by key and on disk, and so is the queue."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest

from agents.filters.plan_nodes import FilterPlan
from agents.http import admission
from agents.http.admission import Slots, WorkKind
from agents.http.keys import Scope
from agents.http.problems import Problem
from agents.http.quota import Quota
from agents.resources.budget import answers
from agents.resources.threads import whole
from agents.web import parquet, stream
from schemas.errors import Recoverable
from streams.clock import ManualClock
from streams.settings import load
from tests.rigs.dummies import DummyShard, rows, until
from tests.rigs.given import FILTER, Given
from tests.rigs.site import SHARDS, A, Site, active, serving

MANY = 100


def left(folder: Path) -> list[Path]:
    return list(folder.glob("export-*"))


async def test_places_are_given_in_order_and_no_key_has_all() -> None:
    slots = Slots(WorkKind.AUDIENCE, 2)
    order: list[str] = []
    go = {name: asyncio.Event() for name in ("a1", "a2", "b1", "b2")}

    async def work(name: str) -> None:
        async with slots.slot(name[0]):
            order.append(name)
            await go[name].wait()

    async with asyncio.TaskGroup() as tasks:
        for name in go:
            tasks.create_task(work(name))
            await asyncio.sleep(0)
        await until(lambda: slots.waiting == 2)
        # a has one place of its own, and its second waits, while b goes past it
        assert order == ["a1", "b1"]
        go["b1"].set()
        await until(lambda: order == ["a1", "b1", "b2"])
        go["a1"].set()
        await until(lambda: order == ["a1", "b1", "b2", "a2"])
        for event in go.values():
            event.set()
    assert (slots.held, slots.waiting) == (0, 0)


async def test_who_waits_too_long_behind_too_many_or_leaves_is_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slots = Slots(WorkKind.AUDIENCE, 2, ManualClock(9_001))

    async def enter(key: str | None) -> None:
        async with slots.slot(key):
            pass

    async with slots.slot("a"):
        waiting = [asyncio.create_task(enter("a")) for _ in range(slots.waiting + 4)]
        await until(lambda: slots.waiting == 4)
        with pytest.raises(Problem) as refused:
            await enter("a")
        assert refused.value.code == "too_many_requests"
        assert refused.value.headers == {"Retry-After": "5", "X-RateLimit-Reset": "15"}
        async with slots.slot(None):
            monkeypatch.setattr(admission, "WAIT_S", 0.01)
            with pytest.raises(Problem) as refused:
                await enter("b")
            assert refused.value.code == "busy"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (slots.held, slots.waiting) == (1, 0)
        await enter("b")
    assert (slots.held, slots.waiting) == (0, 0)


async def test_a_slot_given_to_a_request_that_leaves_is_passed_on() -> None:
    slots = Slots(WorkKind.FILE, 1)

    async def enter() -> None:
        async with slots.slot(None):
            pass

    async with slots.slot(None):
        leaving, staying = asyncio.create_task(enter()), asyncio.create_task(enter())
        await until(lambda: slots.waiting == 2)
    # the place is `leaving`'s now, which has not run since
    leaving.cancel()
    await staying
    assert (slots.held, slots.waiting) == (0, 0)


def test_places_come_from_the_budget() -> None:
    for budget in (100_000_000, 1_000_000_000, 16_000_000_000):
        found = answers(budget)
        assert all(count >= 2 for count in found.values())
    small, large = answers(10**9), answers(8 * 10**9)
    assert all(large[kind] >= 4 * small[kind] for kind in ("audience", "rows", "file"))


class Crowd:
    """Shards whose answers wait for `go`; counts how many are under way at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = asyncio.Event()
        self.now = self.most = self.begun = 0
        read, users = DummyShard.read, DummyShard._users

        async def counted_read(shard: DummyShard, *asked: Any) -> AsyncIterator[pl.DataFrame]:
            async for frame in self._counted(read(shard, *asked)):
                yield frame

        async def counted_users(shard: DummyShard, plan: FilterPlan) -> Any:
            async for frame in self._counted(users(shard, plan)):
                yield frame

        monkeypatch.setattr(DummyShard, "read", counted_read)
        monkeypatch.setattr(DummyShard, "_users", counted_users)

    async def _counted(self, items: Any) -> Any:
        self.now += 1
        self.begun += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
            async for item in items:
                yield item
        finally:
            self.now -= 1


async def test_a_hundred_files_by_one_key_stay_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Given(tmp_path, http_rate=0, http_connections_by_address=512)
    site = Site(given.settings, set(range(SHARDS)), active())
    crowd = Crowd(monkeypatch)

    async def ask(session: aiohttp.ClientSession, scope: Scope) -> tuple[int, str | None]:
        url = site.path("/interactions?format=parquet")
        async with session.get(url, headers=given.header(scope)) as answer:
            await answer.read()
            return answer.status, answer.headers.get("Retry-After")

    slots = site.context.admission.slots[WorkKind.FILE]
    async with (
        serving(site),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        asking = [asyncio.create_task(ask(session, Scope.EXPORT)) for _ in range(MANY)]
        await until(lambda: sum(task.done() for task in asking) + slots.waiting >= MANY - 1)
        refused = [task.result() for task in asking if task.done()]
        assert len(refused) > MANY / 2
        assert {status for status, _ in refused} == {429}
        assert all(after is not None for _, after in refused)
        # another key has a place, while the first is at its bound
        another = asyncio.create_task(ask(session, Scope.ADMIN))
        await until(lambda: slots.held == 2)
        crowd.go.set()
        assert (await another)[0] == 200
        found = await asyncio.gather(*asking)
        assert {status for status, _ in found} == {200, 429}
    assert crowd.most <= answers(given.settings.memory_budget)["file"] * SHARDS
    assert (slots.held, slots.waiting, site.context.spools.used) == (0, 0, 0)
    assert not left(tmp_path)


@pytest.mark.parametrize("path", ["/audience", "/interactions", "/interactions?format=parquet"])
async def test_clients_that_left_cost_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    site = Site(load(flags, env={}, file=tmp_path / "none"), set(range(SHARDS)), active())
    crowd = Crowd(monkeypatch)
    kinds = site.context.admission.slots.values()
    async with (
        serving(site),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        url = site.context.address + path if path == "/audience" else site.path(path)

        async def ask() -> None:
            sent: dict[str, Any] = {"json": FILTER} if path == "/audience" else {}
            method = "POST" if sent else "GET"
            async with session.request(method, url, **sent) as answer:
                await answer.read()

        asking = [asyncio.create_task(ask()) for _ in range(MANY)]
        await until(lambda: crowd.now and any(slots.waiting for slots in kinds))
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        # nothing has been answered, and all of it has ended
        await until(lambda: not crowd.now and not any(p.held or p.waiting for p in kinds))
        assert crowd.begun <= 3 * SHARDS
        assert site.context.spools.used == 0
        assert not left(tmp_path)
        crowd.go.set()
        await ask()


async def test_a_spool_has_a_quota(tmp_path: Path) -> None:
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none",
             "spool_bytes": 1_000_000}  # fmt: skip
    site = Site(load(flags, env={}, file=tmp_path / "none"), set(range(SHARDS)), active())
    url = "/interactions?format=parquet"
    async with serving(site) as session:
        async with session.get(site.path(url)) as answer:
            assert answer.status == 200
            await answer.read()
        site.shards[2].frames = [rows(A, *(f"{n:0200}" for n in range(10_000)))]
        async with session.get(site.path(url)) as answer:
            problem = await answer.json(content_type=None)
        assert (answer.status, problem["code"]) == (503, "busy")
        assert "spool_bytes" in problem["detail"]
        assert int(answer.headers["Retry-After"]) > 0
        assert site.context.spools.used == 0
        assert not left(tmp_path)


def test_a_quota_is_given_back_whatever_happens(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 100)

    def broken_off() -> None:
        with quota.folder() as first:
            first.take(60)
            with quota.folder() as second, pytest.raises(Problem):
                second.take(41)
            first.give(20)
            assert quota.used == 40
            raise Recoverable("the shard is gone")

    with pytest.raises(Recoverable):
        broken_off()
    assert (quota.used, left(tmp_path)) == (0, [])


async def test_a_disk_that_is_full_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, nothing: pl.DataFrame) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "_assemble", full)
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    site = Site(load(flags, env={}, file=tmp_path / "none"), set(range(SHARDS)), active())
    async with (
        serving(site) as session,
        session.get(site.path("/interactions?format=parquet")) as answer,
    ):
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (503, "busy")


async def test_a_thread_is_not_left_alone() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go.wait(30)
        return "done"

    task = asyncio.create_task(whole(work))
    await asyncio.to_thread(begun.wait, 30)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_fails_after_its_caller_has_left_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(30)
        raise OSError("the disk is full")

    task = asyncio.create_task(whole(work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "the disk is full" in caplog.text


async def dawdling(content: aiohttp.StreamReader) -> None:
    """Reads a body at a pace of its own."""
    async for _ in content.iter_chunked(1 << 16):
        await asyncio.sleep(0.01)


async def test_a_client_that_reads_by_the_byte_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SLOWEST", 1 << 40)
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    site = Site(load(flags, env={}, file=tmp_path / "none"), set(range(SHARDS)), active())
    for shard in site.shards.values():
        shard.frames = [rows(A, *(f"user-{n}" for n in range(20_000)))] * 20
    async with serving(site) as session, session.get(site.path()) as answer:
        monkeypatch.setattr(stream, "STALL_S", 0.3)
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await dawdling(answer.content)
    assert all(shard.opened == shard.closed for shard in site.shards.values())

"""Files that are made in the background and kept for a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.http import kept_files
from agents.http.kept_files import FileMaker, KeptFile, KeptFiles
from agents.http.problems import Problem
from agents.http.quota import Quota, Spooled
from schemas.errors import Recoverable
from streams.clock import ManualClock
from tests.rigs.dummies import until

HOUR_S = 3_600.0


@asynccontextmanager
async def kept(folder: Path, keep_s: float = HOUR_S) -> AsyncIterator[tuple[KeptFiles, Quota]]:
    quota = Quota(folder, 1_000)
    files = KeptFiles(quota, ManualClock(5_000), keep_s)
    try:
        yield files, quota
    finally:
        await files.close()
        assert quota.used == 0
        assert left_in(folder) == []


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def making(text: bytes, go_on: asyncio.Event | None = None) -> FileMaker:
    async def make(file: KeptFile, spooled: Spooled) -> Path:
        file.begun.set_result(None)
        if go_on is not None:
            await go_on.wait()
        spooled.take(len(text))
        path = spooled.folder / "made"
        path.write_bytes(text)
        file.users = 3
        return path

    return make


async def test_a_file_is_known_at_once_there_in_the_end_and_gone_when_its_time_is_over(
    tmp_path: Path,
) -> None:
    async with kept(tmp_path, keep_s=0.05) as (files, quota):
        go_on = asyncio.Event()
        file = await files.start("a", making(b"text", go_on))
        assert files.get("a") is file
        assert (file.path, file.ended.is_set()) == (None, False)
        go_on.set()
        await file.ended.wait()
        assert file.path is not None
        assert file.path.read_bytes() == b"text"
        assert (file.until_ms, file.users, quota.used) == (5_050, 3, 4)
        await until(lambda: files.get("a") is None)
        assert (files.get("a"), quota.used) == (None, 0)


async def test_what_fails_before_it_has_begun_is_the_askers_error(tmp_path: Path) -> None:
    async def make(file: KeptFile, spooled: Spooled) -> Path:
        raise Recoverable("a shard is away")

    async with kept(tmp_path) as (files, _):
        with pytest.raises(Recoverable, match="a shard is away"):
            await files.start("a", make)
        assert files.get("a") is None


class Panic(BaseException):
    """As a native library's."""


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Recoverable("a shard is away"), "a shard is away"),
        (OSError(28, "No space left", "/somewhere/export-x.part"), "No space left"),
        (Panic("secrets"), "The worker's log has the details"),
    ],
)
async def test_a_later_failure_is_remembered_and_leaves_nothing_on_disk(
    tmp_path: Path, error: BaseException, why: str
) -> None:
    async def make(file: KeptFile, spooled: Spooled) -> Path:
        file.begun.set_result(None)
        spooled.take(10)
        raise error

    async with kept(tmp_path) as (files, quota):
        file = await files.start("a", make)
        await file.ended.wait()
        assert (file.failed, file.path) == (why, None)
        await until(lambda: not quota.used)
        assert left_in(tmp_path) == []
        assert files.get("a") is file


async def test_a_file_over_the_quota_fails_and_too_many_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files, "MOST_FILES", 2)
    async with kept(tmp_path) as (files, _):
        file = await files.start("a", making(b"x" * 1_001), "one")
        await file.ended.wait()
        assert "spool_bytes" in str(file.failed)
        await files.start("b", making(b"x"), "another")
        with pytest.raises(Problem, match="keeps 2 files"):
            await files.start("c", making(b"x"), "third")


async def test_one_key_leaves_files_and_bytes_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files, "MOST_FILES", 4)
    async with kept(tmp_path) as (files, _):
        for name in "abc":
            await files.start(name, making(b"x"), "greedy")
        with pytest.raises(Problem, match="This key has 3 files of 3 bytes"):
            await files.start("d", making(b"x"), "greedy")
        await files.start("e", making(b"x"), "another")
    async with kept(tmp_path) as (files, _):
        file = await files.start("a", making(b"x" * 750), "greedy")
        await file.ended.wait()
        with pytest.raises(Problem, match="This key has 1 files of 750 bytes"):
            await files.start("b", making(b"x"), "greedy")
        await files.start("c", making(b"x"), "another")


async def test_who_leaves_before_it_has_begun_ends_it(tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def make(file: KeptFile, spooled: Spooled) -> Path:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with kept(tmp_path) as (files, _):
        asking = asyncio.create_task(files.start("a", make))
        await entered.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert files.get("a") is None
        assert left_in(tmp_path) == []

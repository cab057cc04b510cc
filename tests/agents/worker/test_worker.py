"""The worker as a process: its exit codes, its one line of error, its end, and a missing broker."""

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from agents.worker.preflight import locked
from schemas.errors import Fatal
from streams.kafka.topics import Topics
from streams.settings import Settings, load
from tests.rigs.worker import DEADLINE_S, Process, running


@pytest.mark.connected
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_0(
    settings: Settings, topics: Topics, number: signal.Signals
) -> None:
    async with running(settings) as worker:
        assert (await worker.ready())["shards"] == [0, 1, 2, 3]
        at = time.monotonic()
        worker.send(number)
        assert await worker.ended() == 0
        assert time.monotonic() - at < 20


@pytest.mark.connected
async def test_a_second_worker_in_the_folder_is_refused(settings: Settings, topics: Topics) -> None:
    async with running(settings) as worker:
        facts = await worker.ready()
        async with running(settings) as second:
            assert await second.ended() == 1
            line = second.log.read_text()
    assert f"process {facts['pid']}" in line
    assert "--data-dir" in line


@pytest.mark.connected
async def test_wrong_topics_are_named_with_the_remedy(settings: Settings) -> None:
    async with running(settings) as worker:
        assert await worker.ended() == 1
        line = worker.log.read_text()
    assert f"{settings.prefix}interactions.send" in line
    assert "emberline topics create" in line


@pytest.mark.connected
async def test_a_killed_worker_is_back_at_once_and_one_that_leaves_is_replaced(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    other = load(
        {
            "bootstrap_servers": settings.bootstrap_servers,
            "prefix": settings.prefix,
            "partitions": 4,
            "data_dir": tmp_path / "other",
        },
        env={},
        file=tmp_path / "none",
    )
    at = time.monotonic()
    async with running(settings) as first, running(other) as second:
        await first.ready()
        await second.ready()
        start_s = time.monotonic() - at
        first.kill()
        await first.ended()
        at = time.monotonic()
        async with running(settings) as again, aiohttp.ClientSession() as session:
            await again.ready()
            # far sooner than the session of the killed one would have ended, also on a busy machine
            assert time.monotonic() - at < max(9.0, start_s + 4.0)
            await _holds(session, again, 2)
            second.send(signal.SIGTERM)
            assert await second.ended() == 0
            await _holds(session, again, 4)


async def _holds(session: aiohttp.ClientSession, worker: Process, shards: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status = await worker.status(session)
            found = status["shards"]
            assert isinstance(found, list)
            if status["ready"] and len(found) == shards:
                return
            await asyncio.sleep(0.1)


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(Fatal, match=f"process {os.getpid()}"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match="--data-dir"), locked(tmp_path / "file" / "data"):
        pass

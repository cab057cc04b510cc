"""The worker as a process of its own."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from agents.tools.bench.field import environment_of
from streams.settings import Settings

DEADLINE_S = 120


class Process:
    """`emberline worker --json`."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path) -> None:
        self.child = child
        self.log = log
        self.facts: dict[str, object] = {}

    async def ready(self) -> dict[str, object]:
        assert self.child.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = await self.child.stdout.readline()
        assert line, self.log.read_text()
        self.facts = json.loads(line)
        return self.facts

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            return await self.child.wait()

    async def said(self, words: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while words not in self.log.read_text():  # a file tells nobody
                assert self.child.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def status(self, session: aiohttp.ClientSession) -> dict[str, object]:
        async with session.get(f"{self.facts['address']}/status") as answer:
            found: dict[str, object] = await answer.json()
            return found


@asynccontextmanager
async def started(settings: Settings, number: int = 0) -> AsyncIterator[Process]:
    folder = settings.data_dir.parent
    environment = {
        "PATH": os.environ["PATH"],
        "EMBERLINE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "EMBERLINE_PREFIX": settings.prefix,
        "EMBERLINE_PARTITIONS": str(settings.partitions),
        "EMBERLINE_DATA_DIR": str(settings.data_dir),
        "EMBERLINE_HTTP_PORT": "0",
    }
    log = folder / f"worker-{number}-{time.monotonic_ns()}.log"
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents.cli", "worker", "--json",
            stdout=asyncio.subprocess.PIPE, stderr=stderr, env=environment,
        )  # fmt: skip
    process = Process(child, log)
    try:
        yield process
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Process]:
    log = settings.data_dir.parent / "worker.log"
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents.cli", "worker", "--json",
            stdout=asyncio.subprocess.PIPE, stderr=stderr, env=environment_of(settings),
        )  # fmt: skip
    try:
        yield Process(child, log)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()

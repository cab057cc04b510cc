"""The worker as a separate process."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from agents.tools.process import WorkerProcess
from streams.settings import Settings

DEADLINE_S = 120


class Process(WorkerProcess):
    """A worker whose end and whose words a test waits for."""

    async def ended(self) -> int:
        return await asyncio.to_thread(self.wait, DEADLINE_S)

    async def said(self, words: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while words not in self.log.read_text():  # a file tells nobody
                assert self.running(), self.log.read_text()
                await asyncio.sleep(0.05)

    async def status(self, session: aiohttp.ClientSession) -> dict[str, object]:
        async with session.get(f"{self.url}/status") as answer:
            found: dict[str, object] = await answer.json()
            return found


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Process]:
    """Start a worker, and kill it where it still runs."""
    log = settings.data_dir.parent / f"worker-{time.monotonic_ns()}.log"
    process = await asyncio.to_thread(Process, settings, log)
    try:
        yield process
    finally:
        process.kill()

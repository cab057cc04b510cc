"""A worker as a process of its own, measured, and asked over HTTP."""

import asyncio
import io
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import aiohttp
import polars as pl

from agents.tools.bench.field import Field
from agents.tools.process import WorkerProcess
from agents.tools.worker_http import WorkerHttp
from schemas.errors import Fatal

__all__ = ["Worker"]

_POLL_S = 0.05
_IDLE_S = 1.0
_IDLE_CPU = 0.1  # of a core
_TIMEOUT = aiohttp.ClientTimeout(total=300)


class Worker(WorkerProcess):
    """`emberline worker` with the settings of a field. Ends when its `with` block does."""

    def __init__(self, field: Field, **variables: str) -> None:
        super().__init__(field.settings, field.folder / "worker.log", variables)

    async def settled(self, seconds: float = 120.0) -> None:
        """Wait until it has nothing left to do beside: less than a tenth of a core for 1 s."""
        deadline = time.monotonic() + seconds
        before = self.cpu()
        while True:
            # a measurement over a second, not a wait for something that takes a second
            await asyncio.sleep(_IDLE_S)
            now = self.cpu()
            if now - before < _IDLE_CPU * _IDLE_S:
                return
            before = now
            self.check()
            if time.monotonic() > deadline:
                raise Fatal("The worker does not come to rest", remedy=f"See {self.log}")

    async def knows(self, sources: Iterable[str], seconds: float = 60.0) -> None:
        """Wait until it answers for all of these sources. Raises Fatal after so many seconds."""
        deadline = time.monotonic() + seconds
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            http = WorkerHttp(self, session)
            for source in sources:
                while True:
                    async with http.answer(f"/sources/{source}") as answer:
                        if answer.status == HTTPStatus.OK:
                            break
                    self.check()
                    if time.monotonic() > deadline:
                        raise Fatal(f"The worker does not know {source}", remedy=self.tail(500))
                    await asyncio.sleep(_POLL_S)

    async def rows(self, session: aiohttp.ClientSession, source: str) -> pl.DataFrame:
        """All interactions of a source. Raises Fatal where it answers with a problem."""
        path = f"/sources/{source}/interactions?format=parquet"
        return pl.read_parquet(io.BytesIO(await WorkerHttp(self, session).body(path)))

    async def get(self, session: aiohttp.ClientSession, path: str) -> Any:
        """A JSON answer. Raises Fatal where it answers with a problem."""
        return await WorkerHttp(self, session).json(path)

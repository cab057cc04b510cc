"""HTTP requests to a worker, by the program that started it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from agents.tools.process import WorkerProcess
from schemas.errors import Fatal

__all__ = ["WorkerHttp"]

_QUOTED = 300


class WorkerHttp:
    """The answers of one worker, over `session`, which its creator closes."""

    def __init__(self, worker: WorkerProcess, session: aiohttp.ClientSession) -> None:
        self._worker = worker
        self._session = session

    @asynccontextmanager
    async def answer(self, path: str, accept: str = "*/*") -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer with any status. Raises Fatal if there is none, or it is incomplete."""
        try:
            async with self._session.get(
                self._worker.url + path, headers={"Accept": accept}
            ) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            self._worker.check()
            raise Fatal(
                f"The worker does not answer GET {path}: {error!r}",
                remedy=f"See {self._worker.log}",
            ) from error

    async def body(self, path: str, accept: str = "*/*") -> bytes:
        """A complete answer. Raises Fatal for a problem, too."""
        async with self.answer(path, accept) as answer:
            body = await answer.read()
            if answer.status != HTTPStatus.OK:
                raise Fatal(f"{path} answers {answer.status}: {body[:_QUOTED].decode()}")
            return body

    async def json(self, path: str) -> Any:
        """A JSON answer. Raises Fatal for a problem."""
        return orjson.loads(await self.body(path, "application/json"))

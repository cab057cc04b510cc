"""A real Prometheus, with a configuration of its own, that ends with the test."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from agents.tools.process import Child

__all__ = ["MISSING", "Prometheus", "prometheus"]

MISSING = shutil.which("prometheus") is None
DEADLINE_S = 120.0
_TRIES = 5
_TAKEN = re.compile(r"address already in use")


class Prometheus:
    """The server at `url`."""

    def __init__(self, url: str, process: Child, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.process = process
        self._session = session

    async def api(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        async with self._session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            found = await answer.json()
            assert found["status"] == "success", found
            return found["data"]

    async def query(self, query: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The values of a query, by their labels without the name."""
        return {
            tuple(sorted((k, v) for k, v in one["metric"].items() if k != "__name__")): float(
                one["value"][1]
            )
            for one in (await self.api("query", query=query))["result"]
        }

    async def until(self, query: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Wait until a query has a value."""
        async with asyncio.timeout(DEADLINE_S):
            while not (found := await self.query(query)):
                assert self.process.running(), self.process.tail()
                await asyncio.sleep(0.1)  # it tells nobody
            return found


@asynccontextmanager
async def prometheus(configuration: str, folder: Path) -> AsyncIterator[Prometheus]:
    """Start it at a free port; another program may take the port before: then at another one."""
    file = await asyncio.to_thread(_written, configuration, folder)
    async with aiohttp.ClientSession() as session:
        for number in range(_TRIES):
            port = _free_port()
            command = [
                *("prometheus", f"--config.file={file}", "--log.level=warn"),
                f"--storage.tsdb.path={folder / f'data-{number}'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ]
            log = folder / f"prometheus-{number}.log"
            process = await asyncio.to_thread(Child, command, log, os.environ)
            try:
                if await _ready(process, session, f"http://127.0.0.1:{port}"):
                    yield Prometheus(f"http://127.0.0.1:{port}", process, session)
                    return
                assert _TAKEN.search(process.tail()), process.tail()
            finally:
                process.kill()
    raise AssertionError("no port is free")


def _written(configuration: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "prometheus.yml"
    file.write_text(configuration)
    return file


async def _ready(process: Child, session: aiohttp.ClientSession, url: str) -> bool:
    """Wait until it is ready; False if it has ended."""
    async with asyncio.timeout(DEADLINE_S):
        while process.running():
            try:
                async with session.get(f"{url}/-/ready") as answer:
                    if answer.status == 200:
                        return True
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port

"""The demo's worker: the real command in a separate process, and its HTTP answers."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from agents.tools.oracle import Interactions, row_key
from agents.tools.process import WorkerProcess
from agents.tools.worker_http import WorkerHttp
from schemas.errors import Fatal
from streams.settings import Settings, describe

__all__ = ["DemoWorker", "exports"]

TIMEOUT_S = 60.0
POLL_S = 0.05
TAIL_LINES = 25


def exports(settings: Settings) -> dict[str, str]:
    """The variables that give another process these settings; secrets are not shown."""
    defaults = {line.name: line.value for line in describe(Settings())}
    return {
        f"EMBERLINE_{line.name.upper()}": line.value
        for line in describe(settings)
        if line.value != defaults[line.name]
    }


class DemoWorker(WorkerProcess):
    """`emberline worker`, up inside `async with`; `keep` leaves it running afterwards.

    Ctrl-C is for the demo, which ends the worker in its order.
    """

    quoted = 0  # the demo shows the log's end by itself

    def __init__(self, settings: Settings, folder: Path, *, keep: bool) -> None:
        log = folder / "worker.log"
        super().__init__(settings, log, own_session=True, dies_with_parent=not keep)
        self._keep = keep
        self._session: aiohttp.ClientSession | None = None

    def last_lines(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    async def status(self) -> Mapping[str, Any]:
        """`GET /status`."""
        return await self._json("/status")

    async def source(self, source: str) -> Mapping[str, Any]:
        """`GET /sources/{source}`."""
        return await self._json(f"/sources/{quote(source, safe='')}")

    async def rows(self, source: str) -> Interactions:
        """`GET /sources/{source}/interactions`, whole. Raises Fatal for anything else."""
        async with self._rows(source) as answer:
            body = await answer.read()
            if answer.status != HTTPStatus.OK:
                raise Fatal(f"{source} is not readable: {answer.status} {body[:300]!r}")
        *lines, last = body.splitlines()
        if orjson.loads(last) != {"complete": True, "count": len(lines)}:
            raise Fatal(f"The rows of {source} are not complete: {last[:200]!r}")
        rows = {}
        for line in lines:
            row = orjson.loads(line)
            rows[row_key(row)] = (row["first"], row["last"])
        if len(rows) != len(lines):
            raise Fatal(f"{len(lines) - len(rows)} rows of {source} were told twice")
        return rows

    async def visible(self, source: str, deadline_s: float) -> None:
        """Wait until the worker, too, has read that the source is back. Raises Fatal if not."""
        until = time.monotonic() + deadline_s
        while not (found := await self.source(source)).get("visible"):
            self.check()
            if time.monotonic() > until:
                raise Fatal(
                    f"{source} is {found.get('state')} {deadline_s:.0f} s after its event",
                    remedy=f"See {self.log}",
                )
            await asyncio.sleep(POLL_S)

    async def refusal(self, source: str) -> tuple[int, dict[str, Any]]:
        """Status and problem document for the rows of a source that should be hidden."""
        async with self._rows(source) as answer:
            if answer.status == HTTPStatus.OK:
                return answer.status, {}
            problem: dict[str, Any] = await answer.json(content_type=None)
            return answer.status, problem

    def _rows(self, source: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        path = f"/sources/{quote(source, safe='')}/interactions"
        return self._http().answer(path, "application/x-ndjson")

    async def _json(self, path: str) -> Mapping[str, Any]:
        async with self._http().answer(path) as answer:
            found: Mapping[str, Any] = await answer.json(content_type=None)
            return found

    def _http(self) -> WorkerHttp:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return WorkerHttp(self, self._session)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End it, unless it is to be kept and nothing went wrong."""
        if self._session is not None:
            await self._session.close()
        if self._keep and error is None:
            self.leave()
        else:
            await asyncio.to_thread(self.stop)

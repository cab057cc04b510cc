"""The demo's worker: the real command in a process of its own, and its HTTP answers."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from agents.tools.oracle import Interactions, row_key
from schemas.errors import Fatal
from streams.settings import Settings, describe

__all__ = ["DemoWorker", "environment"]

COMMAND = (sys.executable, "-m", "agents.cli", "worker", "--json")
ROOT = Path(__file__).parents[3]
STOP_S = 20.0
TIMEOUT_S = 60.0
POLL_S = 0.05
TAIL_LINES = 25
PR_SET_PDEATHSIG = 1


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give another process these settings."""
    defaults = {line.name: line.value for line in describe(Settings())}
    return {
        f"EMBERLINE_{line.name.upper()}": line.value
        for line in describe(settings)
        if line.value != defaults[line.name]
    }


class DemoWorker:
    """`emberline worker`, up inside `async with`; `keep` leaves it running afterwards."""

    def __init__(self, settings: Settings, folder: Path, *, keep: bool) -> None:
        self.log = folder / "worker.log"
        self.url = ""
        self._settings = settings
        self._keep = keep
        self._ready = folder / "worker.ready"
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def tail(self) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def check(self) -> None:
        """Raise Fatal where it has ended."""
        code = self._running().poll()
        if code is not None:
            raise Fatal(f"The worker has ended with code {code}", remedy=f"See {self.log}")

    async def ready(self, deadline_s: float) -> None:
        """Wait until all its shards are. Raises Fatal when it ends, or after the deadline."""
        until = time.monotonic() + deadline_s
        while not (said := self._ready.read_bytes()):
            self.check()
            if time.monotonic() > until:
                raise Fatal(
                    f"The worker is not ready after {deadline_s:.0f} s", remedy=str(self.log)
                )
            await asyncio.sleep(POLL_S)
        address = str(orjson.loads(said.splitlines()[0])["address"])
        self.url = address if "://" in address else f"http://{address}"

    async def status(self) -> Mapping[str, Any]:
        """`GET /status`."""
        return await self._get_json("/status")

    async def source(self, source: str) -> Mapping[str, Any]:
        """`GET /sources/{source}`."""
        return await self._get_json(f"/sources/{quote(source, safe='')}")

    async def rows(self, source: str) -> Interactions:
        """`GET /sources/{source}/interactions`, whole. Raises Fatal for anything else."""
        async with self._get(f"/sources/{quote(source, safe='')}/interactions") as answer:
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
        async with self._get(f"/sources/{quote(source, safe='')}/interactions") as answer:
            if answer.status == HTTPStatus.OK:
                return answer.status, {}
            problem: dict[str, Any] = await answer.json(content_type=None)
            return answer.status, problem

    @asynccontextmanager
    async def _get(self, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer, whatever its status. Raises Fatal where none comes."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        headers = {"Accept": "application/x-ndjson"}
        try:
            async with self._session.get(self.url + path, headers=headers) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            self.check()
            raise Fatal(
                f"The worker does not answer GET {path}: {error!r}", remedy=f"See {self.log}"
            ) from error

    async def _get_json(self, path: str) -> Mapping[str, Any]:
        async with self._get(path) as answer:
            found: Mapping[str, Any] = await answer.json(content_type=None)
            return found

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the worker was not started")
        return self._process

    async def __aenter__(self) -> Self:
        """Start the process; `ready` waits for it."""
        self._process = self._start()
        return self

    def _start(self) -> "subprocess.Popen[bytes]":
        kept = {k: v for k, v in os.environ.items() if not k.startswith("EMBERLINE_")}
        paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
        env = kept | environment(self._settings) | {"PYTHONPATH": os.pathsep.join(paths)}
        env["KAFKA_BOOTSTRAP_SERVERS"] = self._settings.bootstrap_servers
        with self.log.open("wb") as log, self._ready.open("wb") as ready:
            # a session of its own: Ctrl-C is for the demo, which ends the worker in its order
            return subprocess.Popen(
                COMMAND, env=env, stdin=subprocess.DEVNULL, stdout=ready, stderr=log,
                start_new_session=True,
                preexec_fn=None if self._keep else _dies_with_parent(),
            )  # fmt: skip

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End it, unless it is to be kept and nothing went wrong."""
        if self._session is not None:
            await self._session.close()
        if self._keep and error is None:
            # otherwise Popen warns that it is lost while it still runs, which is the purpose here
            self._running().returncode = 0
        else:
            await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        process = self._running()
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _dies_with_parent() -> Callable[[], object] | None:
    """What makes a child end with the thread that starts it, even by SIGKILL; Linux only."""
    if sys.platform != "linux":
        return None
    # found before the fork: little is safe to do after it
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

"""Requests between workers, without HTTP: the same queries and the same answers, in this process.

It takes the place of `agents.scatter.peers.Peers`. The other worker answers in a task of its own
(agents/scatter/answering.py), piece by piece. A killed worker's connections break; a frozen one is
silent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import aiohttp

from agents.scatter.answering import QUERIES, answered
from agents.scatter.context import WorkerContext
from schemas.errors import Recoverable, UsageError
from tests.sim.loop import SimLoop

__all__ = ["PeerNet", "SimPeers"]

_QUERIES = {kind.name: kind for kind in QUERIES}
_SILENCE_S = 30.0
_CONNECT_S = 2.0
_PIECES = 4


class _Answer:
    """The answer as far as it has come: what the queries use of `aiohttp.ClientResponse`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.content = _Content()


class _Content:
    """The body. `pieces` has bytes, None for its end, or an error."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(_PIECES)
        self._buffer = bytearray()
        self._ended = False

    async def _more(self) -> None:
        try:
            async with asyncio.timeout(_SILENCE_S):
                piece = await self.pieces.get()
        except TimeoutError as error:
            raise aiohttp.SocketTimeoutError("nothing came") from error
        if isinstance(piece, BaseException):
            raise piece
        if piece is None:
            self._ended = True
        else:
            self._buffer += piece

    async def readexactly(self, n: int) -> bytes:
        """As `asyncio.StreamReader`."""
        while len(self._buffer) < n and not self._ended:
            await self._more()
        found = bytes(self._buffer[:n])
        if len(found) < n:
            raise asyncio.IncompleteReadError(found, n)
        del self._buffer[:n]
        return found

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The pieces as they come."""
        while not self._ended:
            await self._more()
            yield bytes(self._buffer)
            self._buffer.clear()

    def break_off(self) -> None:
        """The connection is gone."""
        while True:
            try:
                self.pieces.put_nowait(aiohttp.ClientConnectionError("connection lost"))
            except asyncio.QueueFull:
                self.pieces.get_nowait()
            else:
                return


class PeerNet:
    """The network between workers. `way_s` gives the time of one message between two of them, None
    if it is lost.
    """

    def __init__(self, loop: SimLoop, way_s: Callable[[str, str], float | None]) -> None:
        self.loop = loop
        self.way_s = way_s
        #: The process that listens at each address, and its context.
        self.listening: dict[str, tuple[str, WorkerContext]] = {}
        self._connections: dict[str, set[_Content]] = {}

    def killed(self, process: str) -> None:
        """Break the connections to a process that has been killed."""
        for address in [a for a, (p, _) in self.listening.items() if p == process]:
            del self.listening[address]
        for content in self._connections.pop(process, set()):
            content.break_off()

    def opened(self, process: str, content: _Content) -> None:
        """Note an open connection to a process."""
        self._connections.setdefault(process, set()).add(content)

    def closed(self, process: str, content: _Content) -> None:
        """It is closed."""
        self._connections.get(process, set()).discard(content)


class SimPeers:
    """The connections of one worker's process to all others."""

    def __init__(self, net: PeerNet, process: str) -> None:
        self._net = net
        self._process = process

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> AsyncIterator[Any]:
        """As `Peers.ask`."""
        address, _, path = url.partition("/internal/shards/")
        partition, _, name = path.partition("/")
        way = await self._way(address)
        if address not in self._net.listening:
            raise aiohttp.ClientConnectionError("connection refused")
        process, context = self._net.listening[address]
        answer = _Answer(url)
        head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = _serve(context, name, partition, dict(params or {}), body, answer, head, way)
        self._net.opened(process, answer.content)
        task = self._net.loop.start(process, work, f"answer to {self._process}")
        try:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    while not head.done():
                        await asyncio.wait([head], timeout=0.1)
                        if self._net.loop.is_dead(process):
                            raise aiohttp.ServerDisconnectedError
            except TimeoutError as error:
                raise aiohttp.SocketTimeoutError("no answer") from error
            yield answer
        finally:
            self._net.closed(process, answer.content)
            if not self._net.loop.is_dead(process):
                task.cancel()

    async def _way(self, address: str) -> float:
        way = self._net.way_s(self._process, address)
        if way is None:
            await asyncio.sleep(_CONNECT_S)
            raise aiohttp.ConnectionTimeoutError("no connection")
        await asyncio.sleep(way)
        return way

    async def close(self) -> None:
        """Nothing to close."""


async def _serve(
    context: WorkerContext,
    name: str,
    partition: str,
    params: dict[str, str],
    body: bytes,
    answer: _Answer,
    head: "asyncio.Future[None]",
    way_s: float,
) -> None:
    """The other worker's part, as agents/web/routes/internal.py has it."""

    def begin(status: HTTPStatus, headers: Mapping[str, str]) -> None:
        answer.status, answer.headers = status, headers
        if not head.done():
            head.set_result(None)

    pieces = answer.content.pieces
    try:
        async with answered(context, _QUERIES[name], partition, params, body) as found:
            await asyncio.sleep(way_s)
            begin(HTTPStatus.OK, found.headers)
            if isinstance(found.body, bytes):
                await pieces.put(found.body)
            else:
                async for piece in found.body:
                    await pieces.put(piece)
            await pieces.put(None)
    except UsageError:
        begin(HTTPStatus.BAD_REQUEST, {})
    except Recoverable:
        if head.done():
            answer.content.break_off()
        begin(HTTPStatus.SERVICE_UNAVAILABLE, {})
    except asyncio.CancelledError:
        # the other side has gone, or this worker stops
        with suppress(Exception):
            answer.content.break_off()
        begin(HTTPStatus.SERVICE_UNAVAILABLE, {})
        raise

"""A TCP proxy before a broker that can delay, cut or hold requests, as it knows where each ends.

A request that is held stalls its connection, as a queue in a network does. It is delivered later,
on a connection of its own: as a rule after its client has given up and begun anew.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["END_TXN", "PRODUCE", "Cut", "Delayed", "Held", "Proxy", "Request"]

PRODUCE, END_TXN = 0, 26
_LENGTH = struct.Struct(">i")
_NUMBER = struct.Struct(">h")
_LONGEST = 200 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """A request: the key of its API, and the transactional id, if it has one."""

    api: int
    transactional_id: str


@dataclass(frozen=True, slots=True)
class Delayed:
    """It is delivered after so many seconds; what follows on its connection waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Held:
    """It is delivered after so many seconds, on another connection, and its own is closed then."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Half of it is delivered, and the connection is closed."""


Rule = Callable[[Request], Delayed | Held | Cut | None]
"""What becomes of a request; None: nothing."""


class Proxy:
    """Listens at `port` from `start` on, and passes everything on to `upstream`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.upstream = 0
        self.rule: Rule = lambda request: None
        self.seen: Counter[str] = Counter()
        """What was done with requests, by word."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until all that is held has been delivered."""
        held = [task for task in self._tasks if task.get_name() == "held"]
        await asyncio.gather(*held, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._connection(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        back = asyncio.create_task(_copy(up_reader, writer))
        try:
            while True:
                head = await reader.readexactly(_LENGTH.size)
                (length,) = _LENGTH.unpack(head)
                assert 0 < length < _LONGEST
                frame = head + await reader.readexactly(length)
                match self.rule(_parsed(frame)):
                    case Delayed(seconds):
                        self.seen["delayed"] += 1
                        await asyncio.sleep(seconds)
                    case Held(seconds):
                        self.seen["held"] += 1
                        late = asyncio.create_task(self._deliver(frame, seconds), name="held")
                        self._tasks.add(late)
                        late.add_done_callback(self._tasks.discard)
                        await asyncio.shield(late)
                        return
                    case Cut():
                        self.seen["cut"] += 1
                        up_writer.write(frame[: len(frame) // 2])
                        await up_writer.drain()
                        return
                up_writer.write(frame)
                await up_writer.drain()
        finally:
            back.cancel()
            up_writer.close()

    async def _deliver(self, frame: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
                writer.write(frame)
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                await reader.readexactly(length)
                self.seen["delivered late"] += 1
                writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.close()


def _parsed(frame: bytes) -> Request:
    """The API of a request, and its transactional id as aiokafka sends it: first."""
    (api,) = _NUMBER.unpack_from(frame, 4)
    if api not in (PRODUCE, END_TXN):
        return Request(api, "")
    (client,) = _NUMBER.unpack_from(frame, 12)
    at = 14 + max(0, client)
    (length,) = _NUMBER.unpack_from(frame, at)
    found = frame[at + 2 : at + 2 + length].decode(errors="replace") if length > 0 else ""
    return Request(api, found)

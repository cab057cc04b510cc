"""The answers of a broker, cut out of the stream of bytes of one connection.

An answer is a frame: four bytes with its length (signed, big-endian), then the bytes. The socket,
or TLS, writes them directly to where they stay. asyncio's StreamReader, which the client library
uses, copies every piece into a growing buffer, and stops and starts the socket for each piece: with
answers of several megabytes that took ten times as much of a processor.
"""

import asyncio
from collections.abc import Callable

__all__ = ["Frames"]

_LENGTH = 4
#: A length is only a claim, and what answers may be no broker: more memory is taken when so much
#: has come.
_FIRST_BYTES = 64_000_000


class Frames(asyncio.BufferedProtocol):
    """Hands over each frame as soon as its last byte has come. Use it in the event loop.

    `ended` gets the error with which the connection ended: what `take` has raised, that of the
    socket, IncompleteReadError if the other end has closed, ValueError for a negative length.
    Nothing is handed over after that. `closed` is done once the socket is closed.
    """

    def __init__(self, take: Callable[[bytearray], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._take = take
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._eof = False
        #: What is filled now: the length, or a frame of `_size` bytes.
        self._head = bytearray(_LENGTH)
        self._frame: bytearray | None = None
        self._size = _LENGTH
        self._filled = 0

    # for the client library, in place of a StreamReader and a StreamWriter

    def at_eof(self) -> bool:
        """Whether the other end has closed, or the connection is lost."""
        return self._eof

    def write(self, data: bytes) -> None:
        """Send. Raises OSError if the connection is lost."""
        if self._transport is None:
            raise ConnectionResetError("the connection is lost")
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until what was written has mostly gone out, or the connection is lost."""
        await self._writable.wait()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once: what was not sent is dropped."""
        if self._transport is not None:
            self._transport.abort()

    # for asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def pause_writing(self) -> None:
        """Much waits to be sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Little waits to be sent."""
        self._writable.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; never empty."""
        if self._frame is None:
            return memoryview(self._head)[self._filled :]
        if self._filled == len(self._frame):
            # a new one: whoever has filled the former may still look at it
            grown = bytearray(min(self._size, 2 * self._filled))
            grown[: self._filled] = self._frame
            self._frame = grown
        return memoryview(self._frame)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have been written there."""
        self._filled += nbytes
        if self.ended.done():
            self._filled = 0  # what still comes is for nobody
        elif self._filled == self._size:
            self._complete()

    def _complete(self) -> None:
        try:
            self._filled = 0
            if self._frame is None:
                self._begin(int.from_bytes(self._head, "big", signed=True))
            else:
                self._hand_over(self._frame)
        except Exception as error:
            self._end(error)
            self.close()

    def eof_received(self) -> None:
        """The other end has closed: so does this one."""
        self._eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._transport, self._eof = None, True
        self._writable.set()
        part = b"" if self._frame is None else bytes(self._frame[: min(self._filled, 100)])
        self._end(exc or asyncio.IncompleteReadError(part, self._size))
        if not self.closed.done():
            self.closed.set_result(None)

    def _begin(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"a broker does not send an answer of {size} bytes")
        frame = bytearray(min(size, _FIRST_BYTES))
        if not size:
            self._hand_over(frame)
            return
        self._frame, self._size = frame, size

    def _hand_over(self, frame: bytearray) -> None:
        self._frame, self._size = None, _LENGTH
        self._take(frame)

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)
            # a connection that nobody uses any more ends too
            self.ended.exception()

"""How one worker sends frames to another: Arrow IPC streams, each with its length before it.

    uint32 big-endian length, so many bytes of an Arrow IPC stream      once a frame
    uint32 0                                                            the end, nothing is missing

A stream that stops without its end is not whole: the reader raises `Truncated`.
"""

import io
import struct
from collections.abc import AsyncGenerator
from typing import Protocol

import polars as pl

from schemas.errors import Recoverable

__all__ = ["END", "Truncated", "pack", "unpack"]

_LENGTH = struct.Struct(">I")
END = _LENGTH.pack(0)
LONGEST = 1 << 30


class Truncated(Recoverable):
    """Another worker's answer broke off, or is not one."""


class Reader(Protocol):
    """Where the bytes come from."""

    async def readexactly(self, n: int) -> bytes:
        """So many bytes; raises asyncio.IncompleteReadError where there are fewer."""
        ...


def pack(frame: pl.DataFrame) -> bytes:
    """One frame as it is sent."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4")
    data = buffer.getvalue()
    return _LENGTH.pack(len(data)) + data


async def unpack(reader: Reader) -> AsyncGenerator[pl.DataFrame, None]:
    """The frames of a stream, up to its end.

    Raises Truncated where the end is missing.
    """
    while True:
        try:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length == 0:
                return
            if length > LONGEST:
                raise Truncated(f"a frame of {length} bytes is announced")
            data = await reader.readexactly(length)
        except EOFError as error:
            raise Truncated("the answer broke off") from error
        yield pl.read_ipc_stream(io.BytesIO(data))

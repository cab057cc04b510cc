"""Frames between workers: Arrow IPC streams, each preceded by its length.

    uint32 big-endian length, so many bytes of an Arrow IPC stream      for each frame
    uint32 0                                                            the end: complete

A stream without this end is incomplete: the reader raises `Truncated`.
"""

import asyncio
import io
import struct
from collections.abc import AsyncGenerator
from typing import Any, Protocol

import aiohttp
import orjson
import polars as pl

from schemas.errors import Recoverable, UsageError

__all__ = ["END", "Truncated", "json_of", "lists_of", "pack", "unpack", "unpack_all"]

_LENGTH = struct.Struct(">I")
END = _LENGTH.pack(0)
LONGEST = 1 << 28
"""Far more than the rows or users of one segment, which a frame has."""
_ASIDE = 1 << 18
"""A frame from so many bytes on is read outside the event loop."""


class Truncated(Recoverable):
    """Another worker's answer is incomplete or invalid."""


class Reader(Protocol):
    """A source of bytes."""

    async def readexactly(self, n: int) -> bytes:
        """Exactly this many bytes; raises asyncio.IncompleteReadError if there are fewer."""
        ...


def pack(frame: pl.DataFrame) -> bytes:
    """The bytes of one frame."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4")
    data = buffer.getvalue()
    return _LENGTH.pack(len(data)) + data


async def unpack(reader: Reader) -> AsyncGenerator[pl.DataFrame, None]:
    """The frames of a stream, up to its end.

    Raises Truncated if the end is missing, or a frame is invalid.
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
            raise Truncated("the answer is incomplete") from error
        if length < _ASIDE:
            yield _read(data)
        else:
            yield await asyncio.to_thread(_read, data)


async def unpack_all(data: bytes) -> list[pl.DataFrame]:
    """The frames of a complete stream in memory. Raises Truncated."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return [frame async for frame in unpack(reader)]


async def json_of(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON object in another worker's answer. Raises Truncated for anything else, and for more
    bytes than a frame may have.
    """
    found = bytearray()
    async for piece in answer.content.iter_any():
        found += piece
        if len(found) > LONGEST:
            raise Truncated(f"{answer.url}: more than {LONGEST} bytes")
    try:
        content = orjson.loads(found)
    except ValueError as error:
        raise Truncated(f"{answer.url}: {error}") from error
    if not isinstance(content, dict):
        raise Truncated(f"{answer.url}: no object")
    return content


def lists_of(body: bytes, *names: str) -> dict[str, list[Any]]:
    """The JSON object in another worker's query, with these lists. Raises UsageError."""
    try:
        found = orjson.loads(body)
    except ValueError as error:
        raise UsageError(f"The body is not JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(n), list) for n in names):
        raise UsageError(f"The body is an object with the lists {', '.join(names)}")
    return found


def _read(data: bytes) -> pl.DataFrame:
    try:
        return pl.read_ipc_stream(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise Truncated(f"a frame of {len(data)} bytes cannot be read: {error!r}") from error

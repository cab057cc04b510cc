"""Reads the blocks of an Avro container file, decompressed, from a stream.

    header   magic, map of metadata (`avro.schema`, `avro.codec`), 16 bytes of sync marker
    block    number of records (long), bytes (long), the records, compressed; the sync marker

No size is believed: a block has at most MOST_BYTES, compressed or not, and at least one byte for
each record.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from schemas.decode.compression import decompress
from schemas.records import foreign
from schemas.records.foreign import BadSchema
from schemas.records.undecodable import Undecodable

__all__ = ["MAGIC", "BadContainer", "Block", "Container"]

MAGIC = b"Obj\x01"
MOST_BYTES = 128_000_000
_SYNC_BYTES = 16
_METADATA_BYTES = 2_000_000
_SNAPPY, _ZSTD = 2, 4


class BadContainer(Exception):
    """The file is no complete container; the text says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """Block `number`, counted from 1: so many records, encoded one after another in `data`."""

    number: int
    count: int
    data: bytes


class Container:
    """An open container file. `position` is the byte behind the last block that was read.

    Raises BadContainer for what is no container.
    """

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self.position = 0
        if self._take(len(MAGIC)) != MAGIC:
            raise BadContainer("it does not begin as one")
        metadata = self._metadata()
        self.codec = metadata.get("avro.codec", b"null").decode(errors="replace")
        if self.codec not in _CODECS:
            raise BadContainer(f"codec {self.codec[:40]!r} is not one of {', '.join(_CODECS)}")
        try:
            self.schema: Any = foreign.parsed(metadata.get("avro.schema", b"").decode())
            foreign.check(self.schema)
        except (BadSchema, UnicodeDecodeError) as error:
            raise BadContainer(f"its schema: {error}") from error
        self._sync = self._take(_SYNC_BYTES)

    def blocks(self, start: int = 0, *, data: bool = True) -> Iterator[Block]:
        """The blocks after the first `start`; without `data` nothing is decompressed."""
        number = 0
        while (count := self._long(end=True)) is not None:
            size = self._long()
            if size is None or not count >= 0 or not 0 <= size <= MOST_BYTES:
                raise BadContainer("a block of impossible size")
            raw = self._take(size)
            if self._take(_SYNC_BYTES) != self._sync:
                raise BadContainer("a block does not end with the sync marker")
            number += 1
            if number <= start:
                continue
            if not data:
                yield Block(number, count, b"")
                continue
            plain = _plain(self.codec, raw)
            if count > len(plain):
                raise BadContainer("records that take no bytes")
            yield Block(number, count, plain)

    def _metadata(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        while count := self._long():
            if count < 0:
                count = -count
                self._long()
            for _ in range(count):
                name = self._text()
                found[name.decode(errors="replace")] = self._text()
        return found

    def _text(self) -> bytes:
        size = self._long() or 0
        if not 0 <= size <= _METADATA_BYTES:
            raise BadContainer("metadata of impossible size")
        return self._take(size)

    def _take(self, size: int) -> bytes:
        data = self._content.read(size)
        self.position += len(data)
        if len(data) < size:
            raise BadContainer("it ends too early")
        return data

    def _long(self, *, end: bool = False) -> int | None:
        """A zigzag varint; None at the end of the file, if it may end here."""
        value = shift = 0
        while True:
            byte = self._content.read(1)
            if not byte:
                if end and not shift:
                    return None
                raise BadContainer("it ends too early")
            self.position += 1
            value |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                return value >> 1 ^ -(value & 1)
            if shift > 63:
                raise BadContainer("a number of more than ten bytes")


def _plain(codec: str, data: bytes) -> bytes:
    try:
        return _CODECS[codec](data)
    except (Undecodable, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise BadContainer(f"{codec} cannot be decompressed: {error!s:.200}") from error


def _bounded(reader: Any, data: bytes) -> bytes:
    plain: bytes = reader.decompress(data, MOST_BYTES)
    if not reader.eof:
        raise ValueError(f"it is cut, or has more than {MOST_BYTES} bytes")
    return plain


def _snappy(data: bytes) -> bytes:
    plain = decompress(data[:-4], _SNAPPY, MOST_BYTES)
    if zlib.crc32(plain) != int.from_bytes(data[-4:], "big"):
        raise ValueError("the checksum differs")
    return plain


_CODECS: Mapping[str, Callable[[bytes], bytes]] = {
    "null": lambda data: data,
    "deflate": lambda data: _bounded(zlib.decompressobj(-15), data),
    "snappy": _snappy,
    "zstandard": lambda data: decompress(data, _ZSTD, MOST_BYTES),
    "bzip2": lambda data: _bounded(bz2.BZ2Decompressor(), data),
    "xz": lambda data: _bounded(lzma.LZMADecompressor(), data),
}

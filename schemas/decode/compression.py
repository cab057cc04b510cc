"""Decompresses the records of a batch into a buffer of bounded size.

A few kilobytes can decompress to gigabytes of zeros, so no claimed size is trusted: output goes
into a buffer of `limit` bytes, of which only written pages take memory. Like the Java client, this
accepts everything that a broker accepts: bytes behind the last frame are ignored, and further
frames continue the first.

    1  gzip     members, one after another
    2  snappy   the xerial stream (header, then blocks with their lengths), or one raw block
    3  lz4      frames
    4  zstd     frames
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import cramjam

from schemas.decode.scratch import scratch
from schemas.records.undecodable import Undecodable

__all__ = ["CODECS", "decompress"]

CODECS: Mapping[int, str] = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

_XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
_XERIAL_NAME = _XERIAL[:8]
_GZIP = b"\x1f\x8b"
_GZIP_BITS = 31
_LZ4 = 0x184D2204
_ZSTD = 0xFD2FB528
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_U32 = struct.Struct("<I")
_BLOCK = struct.Struct(">i")
_DICTIONARY_BYTES = (0, 1, 2, 4)
_CONTENT_BYTES = (0, 2, 4, 8)

_Reader: TypeAlias = Callable[[bytes, int], int | None]
"""The place after the frame at a place; None where no whole frame lies there."""


def decompress(data: bytes, codec: int, limit: int) -> bytes:
    """Decompress `data` to at most `limit` bytes.

    Raises `Undecodable`: `too_large` if the output is larger; `undecodable` if the data is not of
    this codec, or `codec` is unknown.
    """
    if codec not in CODECS:
        raise Undecodable("undecodable", f"compression codec {codec} is unknown")
    try:
        if codec == 0:
            return _fits(data, limit)
        if codec == 1:
            return _gunzip(data, limit)
        with scratch(limit) as view:
            if codec == 2:
                size = _snappy(data, view, limit)
            elif codec == 3:
                size = _frames(data, view, limit, _lz4_end, cramjam.lz4.decompress_into)
            else:
                size = _frames(data, view, limit, _zstd_end, cramjam.zstd.decompress_into)
            return bytes(view[:size])
    except (cramjam.DecompressionError, zlib.error, struct.error, IndexError, ValueError) as error:
        detail = f"{CODECS[codec]} cannot be decompressed: {error!s:.200}"
        raise Undecodable("undecodable", detail) from error


def _fits(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise _too_large(limit)
    return data


def _gunzip(data: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        member = zlib.decompressobj(_GZIP_BITS)
        try:
            parts.append(member.decompress(data, limit - size + 1))
        except zlib.error:
            if parts:
                break  # what follows the last member only looks like one
            raise
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not member.eof:
            raise ValueError("it ends too early")
        data = member.unused_data
        if not data.startswith(_GZIP):
            break
    return b"".join(parts)


def _snappy(data: bytes, space: memoryview, limit: int) -> int:
    if not data.startswith(_XERIAL_NAME):
        return _snappy_block(data, space, 0, limit)
    at, size = len(_XERIAL), 0
    while at + _BLOCK.size <= len(data):
        if data.startswith(_XERIAL_NAME, at):
            at += len(_XERIAL)
            continue
        (length,) = _BLOCK.unpack_from(data, at)
        end = at + _BLOCK.size + length
        if length <= 0 or end > len(data):
            break
        try:
            size = _snappy_block(data[at + _BLOCK.size : end], space, size, limit)
        except cramjam.DecompressionError:
            if size:
                break
            raise
        at = end
    if not size:
        raise ValueError("no whole block")
    return size


def _snappy_block(block: bytes, space: memoryview, size: int, limit: int) -> int:
    """The total size after this block. The size that the block claims is checked first."""
    if cramjam.snappy.decompress_raw_len(block) > limit - size:
        raise _too_large(limit)
    return size + int(cramjam.snappy.decompress_raw_into(block, space[size:]))


def _frames(
    data: bytes, space: memoryview, limit: int, end_of: _Reader, into: Callable[..., int]
) -> int:
    size = 0
    for start, end in _whole(data, end_of):
        try:
            size += int(into(data[start:end], space[size:]))
        except cramjam.DecompressionError as error:
            if "whole buffer" in str(error):
                raise _too_large(limit) from error
            if size:
                break
            raise
    return size


def _whole(data: bytes, end_of: _Reader) -> Iterator[tuple[int, int]]:
    """The positions of the complete frames at the beginning."""
    at = 0
    while True:
        start = at
        try:
            following = end_of(data, at)
        except (struct.error, IndexError):
            following = None
        if following is None or following > len(data):
            break
        yield start, following
        at = following
    if at == 0:
        raise ValueError("no whole frame")


def _skipped(data: bytes, at: int, magic: int) -> int | None:
    return at + 8 + int(_U32.unpack_from(data, at + 4)[0]) if magic in _SKIPPABLE else None


def _lz4_end(data: bytes, at: int) -> int | None:
    (magic,) = _U32.unpack_from(data, at)
    if magic != _LZ4:
        return _skipped(data, at, magic)
    flags = data[at + 4]
    at += 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    checksum = 4 if flags & 0x10 else 0
    while True:
        (length,) = _U32.unpack_from(data, at)
        at += 4
        if not length:
            return at + (4 if flags & 0x04 else 0)
        at += (length & 0x7FFF_FFFF) + checksum


def _zstd_end(data: bytes, at: int) -> int | None:
    (magic,) = _U32.unpack_from(data, at)
    if magic != _ZSTD:
        return _skipped(data, at, magic)
    flags = data[at + 4]
    single = flags >> 5 & 1
    content = _CONTENT_BYTES[flags >> 6] or single
    at += 5 + (1 - single) + _DICTIONARY_BYTES[flags & 3] + content
    while True:
        block = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
        if block & 1:
            return at + (4 if flags & 4 else 0)


def _too_large(limit: int) -> Undecodable:
    return Undecodable("too_large", f"more than {limit} bytes when it is decompressed")

"""The part of a segment that a shard keeps in memory."""

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from zlib import crc32

import orjson
import polars as pl

from schemas.errors import CorruptSegment
from schemas.segment.codec import checksum

__all__ = ["SegmentIndex", "build", "remember", "verified"]

_MOST_VERIFIED = 200_000
_VERIFIED: dict[tuple[str, str], int] = {}
"""CRC-32 of the bytes of segments (id, checksum) that were made or compared in this process."""


@dataclass(frozen=True, slots=True)
class SegmentIndex:
    """One segment: the range of its rows in the order of (source, user), and its sizes.

    `rows` and `bytes` count rows and encoded bytes; `checksum` is that of the encoded bytes; `low`
    and `high` are the first and the last (source, user), inclusive; `sources` gives the number of
    rows of each source.
    """

    id: str
    level: int
    rows: int
    bytes: int
    checksum: str
    low: tuple[str, str]
    high: tuple[str, str]
    sources: Mapping[str, int]

    def to_json(self) -> builtins.bytes:
        """The index as UTF-8 JSON."""
        # not asdict: it would copy the names, of which there may be thousands
        content = {name: getattr(self, name) for name in _FIELDS}
        return orjson.dumps(content)

    @classmethod
    def from_json(cls, data: builtins.bytes) -> "SegmentIndex":
        """Read what `to_json` wrote; fields that only a later version knows are left out. Raises
        `ValueError`, `KeyError`, `TypeError` or `AttributeError` otherwise."""
        content = orjson.loads(data)
        content["low"] = _pair(content["low"])
        content["high"] = _pair(content["high"])
        found = cls(**{name: content[name] for name in _FIELDS})
        numbers = (found.level, found.rows, found.bytes, *found.sources.values())
        texts = (found.id, found.checksum, *found.low, *found.high)
        if not all(type(one) is int and one >= 0 for one in numbers):
            raise ValueError("sizes and levels are numbers that are not negative")
        if not all(type(one) is str for one in texts):
            raise ValueError("ids and names are texts")
        return found


_FIELDS = tuple(field.name for field in fields(SegmentIndex))


def build(id: str, level: int, frame: pl.DataFrame, data: bytes) -> SegmentIndex:
    """Index the segment `id`: `frame` has its rows sorted by (source, user), at least one, and
    `data` is its encoded bytes.
    """
    runs = frame.select(pl.col("source").rle()).unnest("source")
    ends = frame.select("source", "user")
    index = SegmentIndex(
        id=id,
        level=level,
        rows=frame.height,
        bytes=len(data),
        checksum=checksum(data),
        low=_pair(ends.row(0)),
        high=_pair(ends.row(-1)),
        sources=dict(zip(runs["value"], runs["len"], strict=True)),
    )
    remember(index, data)
    return index


def verified(index: SegmentIndex, data: bytes) -> bytes:
    """Return `data` if it is the segment of this index. Raises `CorruptSegment`.

    Call it before decoding: a native reader may abort the process on damaged bytes. The checksum
    of a segment that this process has made or compared before is not worked out again; its
    CRC-32, which takes a seventh of the time, is.
    """
    if len(data) == index.bytes and _VERIFIED.get((index.id, index.checksum)) == crc32(data):
        return data
    if checksum(data) != index.checksum:
        raise CorruptSegment(
            f"segment {index.id} of {len(data)} bytes has another checksum than its index says",
            remedy="restore the record from a replica or a backup of its topic",
            segment=index.id,
        )
    remember(index, data)
    return data


def remember(index: SegmentIndex, data: bytes) -> None:
    """Note that `data` is known to be the segment of this index, so that `verified` is quick."""
    if len(_VERIFIED) >= _MOST_VERIFIED:
        _VERIFIED.clear()
    _VERIFIED[index.id, index.checksum] = crc32(data)


def _pair(values: Iterable[str]) -> tuple[str, str]:
    source, user = values
    return source, user

"""The part of a segment that a shard keeps in memory."""

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import orjson
import polars as pl

from schemas.errors import CorruptSegment
from schemas.segment.codec import checksum

__all__ = ["SegmentIndex", "build", "verified"]

_MOST_VERIFIED = 200_000
_VERIFIED: set[tuple[str, str]] = set()
"""Segments (id, checksum) whose bytes have been compared."""


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
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return orjson.dumps(content)

    @classmethod
    def from_json(cls, data: builtins.bytes) -> "SegmentIndex":
        """Read what `to_json` wrote. Raises `ValueError`, `KeyError` or `TypeError` otherwise."""
        content = orjson.loads(data)
        content["low"] = _pair(content["low"])
        content["high"] = _pair(content["high"])
        return cls(**content)


def build(id: str, level: int, frame: pl.DataFrame, data: bytes) -> SegmentIndex:
    """Index the segment `id`: `frame` has its rows sorted by (source, user), at least one, and
    `data` is its encoded bytes.
    """
    runs = frame.select(pl.col("source").rle()).unnest("source")
    ends = frame.select("source", "user")
    return SegmentIndex(
        id=id,
        level=level,
        rows=frame.height,
        bytes=len(data),
        checksum=checksum(data),
        low=_pair(ends.row(0)),
        high=_pair(ends.row(-1)),
        sources=dict(zip(runs["value"], runs["len"], strict=True)),
    )


def verified(index: SegmentIndex, data: bytes) -> bytes:
    """Return `data` if it is the segment of this index. Raises `CorruptSegment`.

    Call it before decoding: a native reader may abort the process on damaged bytes. A process
    compares each segment once; the parts that it keeps have their own checksums.
    """
    known = (index.id, index.checksum)
    if len(data) == index.bytes and known in _VERIFIED:
        return data
    if checksum(data) != index.checksum:
        raise CorruptSegment(
            f"segment {index.id} of {len(data)} bytes has another checksum than its index says",
            remedy="restore the record from a replica or a backup of its topic",
        )
    if len(_VERIFIED) >= _MOST_VERIFIED:
        _VERIFIED.clear()
    _VERIFIED.add(known)
    return data


def _pair(values: Iterable[str]) -> tuple[str, str]:
    source, user = values
    return source, user

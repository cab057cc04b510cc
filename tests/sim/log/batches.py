"""Record batches and markers as brokers store them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from schemas.decode.batch import ABORT, COMMIT
from schemas.decode.wire import HEADER

__all__ = ["PLAIN", "Entry", "Stored", "Written", "marker", "size_of", "stored"]

_MOST_BYTES = 1 << 30
_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x08, 0x10, 0x20
_CRC_AT, _ATTRIBUTES_AT, _LAST_AT, _MAX_TIME_AT = 17, 21, 23, 35
_MARKER_KEY = struct.Struct(">hh")
_MARKER_VALUE = struct.Struct(">hi")
#: What a record takes in a batch beside its key, value and headers, at most.
_RECORD_BYTES = 36

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: to be written, or with its place in a batch."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()
    delta: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """Who writes a batch: a producer, its epoch, the sequence number of the first record, and
    whether a transaction is open. Producer -1: one that is not idempotent.
    """

    producer: int = -1
    epoch: int = -1
    sequence: int = -1
    transactional: bool = False


#: By a producer that is not idempotent.
PLAIN = Written()


@dataclass(slots=True)
class Stored:
    """A batch in a log. `ends` is `ABORT` or `COMMIT` for a marker; `cleaned_ms`: when compaction
    first met the batch.
    """

    base: int
    last: int
    wire: bytes
    by: Written
    stamp_ms: int
    entries: Sequence[Entry]
    ends: int | None = None
    cleaned_ms: int | None = None


def size_of(entry: Entry) -> int:
    """At most so many bytes does a record take in a batch."""
    size = _RECORD_BYTES + len(entry.key or b"") + len(entry.value or b"")
    for name, value in entry.headers:
        size += 10 + len(name) + len(value or b"")
    return size


def stored(
    entries: Sequence[Entry],
    base: int,
    by: Written = PLAIN,
    *,
    codec: int = 0,
    append_ms: int | None = None,
    last: int | None = None,
) -> Stored:
    """The batch of these records from the offset `base` on.

    `append_ms`: the broker's time, if its topic stamps what comes. `last`: the offset of the last
    record before compaction removed some; records then keep their places.
    """
    builder = DefaultRecordBatchBuilder(
        2, codec, int(by.transactional), by.producer, by.epoch, by.sequence, _MOST_BYTES
    )
    for number, entry in enumerate(entries):
        delta = number if last is None else entry.delta
        builder.append(delta, entry.timestamp_ms, entry.key, entry.value, list(entry.headers))
    if entries:
        raw = bytearray(builder.build())
        stamp = max(entry.timestamp_ms for entry in entries)
    else:
        raw, stamp = _emptied(by), append_ms or -1
    attributes = 0
    if append_ms is not None:
        attributes, stamp = _APPEND_TIME, append_ms
        struct.pack_into(">q", raw, _MAX_TIME_AT, append_ms)
    reach = base + len(entries) - 1 if last is None else last
    struct.pack_into(">i", raw, _LAST_AT, reach - base)
    return Stored(base, reach, _finished(raw, base, attributes), by, stamp, entries)


def marker(base: int, by: Written, commit: bool, stamp_ms: int) -> Stored:
    """The record that ends a transaction in one partition."""
    kind = COMMIT if commit else ABORT
    builder = DefaultRecordBatchBuilder(2, 0, 1, by.producer, by.epoch, -1, _MOST_BYTES)
    builder.append(0, stamp_ms, _MARKER_KEY.pack(0, kind), _MARKER_VALUE.pack(0, 0), [])
    wire = _finished(bytearray(builder.build()), base, _CONTROL)
    return Stored(base, base, wire, by, stamp_ms, (), kind)


def _emptied(by: Written) -> bytearray:
    """A batch without records, as compaction leaves it of a producer's last batch."""
    attributes = _TRANSACTIONAL if by.transactional else 0
    fields: tuple[Any, ...] = (0, HEADER.size - 12, -1, 2, 0, attributes, 0, -1, -1)
    return bytearray(HEADER.pack(*fields, by.producer, by.epoch, by.sequence, 0))


def _finished(raw: bytearray, base: int, attributes: int) -> bytes:
    struct.pack_into(">q", raw, 0, base)
    (present,) = struct.unpack_from(">h", raw, _ATTRIBUTES_AT)
    struct.pack_into(">h", raw, _ATTRIBUTES_AT, present | attributes)
    struct.pack_into(">I", raw, _CRC_AT, calc_crc32c(bytes(raw[_ATTRIBUTES_AT:])))
    return bytes(raw)

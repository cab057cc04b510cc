"""The records of one batch, one by one: for control topics, rejects and mixed batches.

    length, attributes i8, timestamp delta, offset delta,
    key length (-1: none), key, value length (-1: none), value,
    header count, then per header: key length, key, value length (-1: none), value

All numbers but the attributes are zigzag varints, as in Avro.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from schemas.errors import Fatal

__all__ = ["CorruptRecords", "KafkaRecord", "RawBatch", "read_varint", "unpack"]

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_END = 12


class CorruptRecords(Fatal):
    """The records of a batch whose checksum is right do not fit its size or count."""


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A record batch whose records are still bytes.

    `payload` holds the records, decompressed. Timestamps are the broker's, milliseconds;
    with `log_append_time` every record has `max_timestamp`.
    """

    topic: str
    partition: int
    base_offset: int
    last_offset: int
    count: int
    base_timestamp: int
    max_timestamp: int
    log_append_time: bool
    payload: bytes

    @property
    def next_offset(self) -> int:
        """The offset after the last one of the batch."""
        return self.last_offset + 1


class KafkaRecord(NamedTuple):
    """One record; `timestamp` in milliseconds. A header key that is no UTF-8 is mended."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def unpack(batch: RawBatch) -> list[KafkaRecord]:
    """The records of a batch, in order. Raises `CorruptRecords`."""
    header = _HEADER.pack(
        batch.base_offset,
        _HEADER.size - _LENGTH_END + len(batch.payload),
        -1,
        2,
        0,
        0x08 if batch.log_append_time else 0,
        batch.last_offset - batch.base_offset,
        batch.base_timestamp,
        batch.max_timestamp,
        -1,
        -1,
        -1,
        batch.count,
    )
    try:
        return [
            KafkaRecord(record.offset, record.timestamp, record.key, record.value, record.headers)
            for record in DefaultRecordBatch(header + batch.payload)
        ]
    except UnicodeDecodeError:
        # No one but its producer checks that a header key is text.
        return _walk(batch)
    except (CorruptRecordException, ValueError, IndexError) as error:
        raise _corrupt(batch, str(error)) from error


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The zigzag varint at `at` and the position after it. Raises `IndexError` at the end."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def _walk(batch: RawBatch) -> list[KafkaRecord]:
    data = batch.payload
    records: list[KafkaRecord] = []
    at = 0
    try:
        for _ in range(batch.count):
            length, at = read_varint(data, at)
            end = at + length
            delta, at = read_varint(data, at + 1)
            offset, at = read_varint(data, at)
            key, at = _bytes(data, at)
            value, at = _bytes(data, at)
            count, at = read_varint(data, at)
            headers: list[tuple[str, bytes | None]] = []
            for _ in range(count):
                name, at = _bytes(data, at)
                content, at = _bytes(data, at)
                headers.append(((name or b"").decode(errors="replace"), content))
            if at != end or end > len(data):
                raise _corrupt(batch, f"a record of {length} bytes ends elsewhere")
            time = batch.max_timestamp if batch.log_append_time else batch.base_timestamp + delta
            records.append(KafkaRecord(batch.base_offset + offset, time, key, value, headers))
    except IndexError as error:
        raise _corrupt(batch, "it ends too early") from error
    if at != len(data):
        raise _corrupt(batch, f"{len(data) - at} bytes too many")
    return records


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = read_varint(data, at)
    if length < 0:
        return None, at
    return data[at : at + length], at + length


def _corrupt(batch: RawBatch, detail: str) -> CorruptRecords:
    return CorruptRecords(
        f"{batch.topic}[{batch.partition}] offset {batch.base_offset}: "
        f"records of a batch of {batch.count} cannot be told apart: {detail}",
        remedy="Check the producer that wrote it, and the broker's disk",
    )

"""Kafka's record batches, format v2, as in a fetch response.

    base offset i64, length i32, leader epoch i32, magic i8,
    crc u32                    CRC-32C of all that follows it
    attributes i16             bits 0-2 codec, 3 log-append time, 4 transactional, 5 control
    last offset delta i32, base timestamp i64, max timestamp i64,
    producer id i64, producer epoch i16, base sequence i32, count i32
    records                    compressed as a whole

`length` counts the bytes after itself. A batch stays compressed (`SealedBatch`) until it is opened,
into a buffer of bounded size. A batch that cannot be opened gets a fault, and its reader rejects
it. schemas.decode.batch_records splits a batch into single records; schemas.decode.decoder decodes
whole batches.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka.record.util import calc_crc32c

from schemas.decode.batch_records import KafkaRecord, RecordBatch, chunks, unpack
from schemas.decode.compression import decompress
from schemas.decode.wire import HEADER, LENGTH_END
from schemas.errors import Recoverable
from schemas.records.undecodable import Undecodable
from schemas.records.varint import read_varint

__all__ = [
    "ABORT",
    "BATCH_BYTES",
    "COMMIT",
    "BatchHeader",
    "CorruptBatch",
    "KafkaRecord",
    "RecordBatch",
    "SealedBatch",
    "chunks",
    "parse_batches",
    "seal_batches",
    "unpack",
]

ABORT = 0
COMMIT = 1

BATCH_BYTES = 16_000_000
"""What the records of a batch may take by default, decompressed."""
_SPARE_RECORDS = 10_000
"""So many records more than it has bytes a batch may have: no producer has reached that."""

_LAST_OFFSET = (1 << 63) - 2
_MAGIC_AT = 16
_CRC_END = 21
_MAGIC = 2
_CONTROL_KEY = struct.Struct(">hh")


class CorruptBatch(Recoverable):
    """A record batch does not match its checksum."""


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """The fields of a batch header that a reader needs before it reads the records.

    `control_type` is `ABORT` or `COMMIT` in a control batch that ends a transaction of
    `producer_id`, else None.
    """

    base_offset: int
    last_offset_delta: int
    count: int
    producer_id: int
    is_transactional: bool
    is_control: bool
    control_type: int | None

    @property
    def next_offset(self) -> int:
        """The offset at which reading continues; the records of a compacted batch may end
        below it.
        """
        return self.base_offset + self.last_offset_delta + 1


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A record batch as in the log: `wire` is its bytes with the header.

    `codec` is the number of its compression, or None for a format older than v2, of which only the
    offset is known.
    """

    topic: str
    partition: int
    base_offset: int
    last_offset: int
    count: int
    base_timestamp: int
    max_timestamp: int
    log_append_time: bool
    codec: int | None
    wire: memoryview

    @property
    def next_offset(self) -> int:
        """The offset after the last one of the batch."""
        return self.last_offset + 1

    @property
    def is_compressed(self) -> bool:
        """Whether opening it takes more than a copy."""
        return bool(self.codec)

    def intact(self) -> bool:
        """Whether its bytes match its checksum; a reader without `check_crc` hands over others.

        True where there are no bytes to compare, as of a format older than v2.
        """
        if self.codec is None or len(self.wire) < HEADER.size:
            return True
        crc: int = HEADER.unpack_from(self.wire)[4]
        return bool(calc_crc32c(self.wire[_CRC_END:]) == crc)

    def opened(self, limit: int = BATCH_BYTES) -> RecordBatch:
        """The batch with its records. It has a fault instead if the records take more than `limit`
        bytes, cannot be decompressed, or their count is impossible for their bytes.

        Call it in a thread if the batch is compressed.
        """
        payload = b""
        fault: tuple[str, str] | None = None
        try:
            if self.codec is None:
                raise Undecodable("undecodable", "its format is older than v2, of Kafka 0.11")
            if self.count > len(self.wire) + _SPARE_RECORDS:
                size = f"{self.count} records in {len(self.wire)} bytes"
                raise Undecodable("too_large", size)
            payload = decompress(bytes(self.wire[HEADER.size :]), self.codec, limit)
        except Undecodable as error:
            fault = error.code, error.detail
        return RecordBatch(
            topic=self.topic,
            partition=self.partition,
            base_offset=self.base_offset,
            last_offset=self.last_offset,
            count=self.count,
            base_timestamp=self.base_timestamp,
            max_timestamp=self.max_timestamp,
            log_append_time=self.log_append_time,
            payload=payload,
            fault=fault,
            wire=self.wire,
        )


def parse_batches(
    raw: bytes | bytearray | memoryview,
    topic: str,
    partition: int,
    *,
    check_crc: bool = True,
    limit: int = BATCH_BYTES,
) -> Iterator[tuple[BatchHeader, RecordBatch | None]]:
    """As `seal_batches`, with each batch opened."""
    for header, batch in seal_batches(raw, topic, partition, check_crc=check_crc):
        yield header, None if batch is None else batch.opened(limit)


def seal_batches(
    raw: bytes | bytearray | memoryview, topic: str, partition: int, *, check_crc: bool = True
) -> Iterator[tuple[BatchHeader, SealedBatch | None]]:
    """Yield the complete batches of a record set; an incomplete last batch is left out.

    The second part is None for control batches and for batches that compaction emptied. Batches of
    aborted transactions are included: only the fetch response's list identifies them. Raises
    `CorruptBatch`.
    """
    view = memoryview(raw)
    start = 0
    while start + _MAGIC_AT < len(view):
        base, length = struct.unpack_from(">qi", view, start)
        end = start + LENGTH_END + length
        where = f"{topic}[{partition}] offset {base}"
        if length < _MAGIC_AT + 1 - LENGTH_END:
            raise CorruptBatch(f"{where}: a batch of {length} bytes is too short for a header")
        if end > len(view):
            return
        if view[start + _MAGIC_AT] != _MAGIC:
            yield _of_old_format(view[start:end], topic, partition, base)
        elif length < HEADER.size - LENGTH_END:
            raise CorruptBatch(f"{where}: a batch of {length} bytes is too short for a header")
        else:
            yield _parse(view[start:end], topic, partition, where, check_crc)
        start = end


def _parse(
    view: memoryview, topic: str, partition: int, where: str, check_crc: bool
) -> tuple[BatchHeader, SealedBatch | None]:
    (base, _, _, _, crc, attributes, last_delta, base_time, max_time, producer, _, _, count) = (
        HEADER.unpack_from(view)
    )
    if check_crc and calc_crc32c(view[_CRC_END:]) != crc:
        raise CorruptBatch(
            f"{where}: checksum mismatch",
            remedy="Check the broker's disk; if the batch cannot be recovered, skip it with "
            f"`emberline topics skip --at {topic}:{partition}:{base}`",
        )
    if not 0 <= base <= base + last_delta <= _LAST_OFFSET:
        # a reader would go back, or beyond all numbers, and never end
        raise CorruptBatch(f"{where}: its last offset is {base + last_delta}")
    is_control = bool(attributes & 0x20)
    batch = None
    if count > 0 and not is_control:
        batch = SealedBatch(
            topic=topic,
            partition=partition,
            base_offset=base,
            last_offset=base + last_delta,
            count=count,
            base_timestamp=base_time,
            max_timestamp=max_time,
            log_append_time=bool(attributes & 0x08),
            codec=attributes & 0x07,
            wire=view,
        )
    header = BatchHeader(
        base_offset=base,
        last_offset_delta=last_delta,
        count=count,
        producer_id=producer,
        is_transactional=bool(attributes & 0x10),
        is_control=is_control,
        control_type=_control_type(bytes(view[HEADER.size :])) if is_control else None,
    )
    return header, batch


def _of_old_format(
    view: memoryview, topic: str, partition: int, base: int
) -> tuple[BatchHeader, SealedBatch]:
    """A message set of an older format: it begins with offset and length like a batch of today."""
    header = BatchHeader(
        base, 0, 1, -1, is_transactional=False, is_control=False, control_type=None
    )
    return header, SealedBatch(topic, partition, base, base, 1, -1, -1, False, None, view)


def _control_type(records: bytes) -> int | None:
    """Brokers write the marker as the only record of its batch, uncompressed."""
    try:
        _, at = read_varint(records, 0)
        _, at = read_varint(records, at + 1)
        _, at = read_varint(records, at)
        size, at = read_varint(records, at)
        kind = int(_CONTROL_KEY.unpack_from(records, at)[1]) if size >= _CONTROL_KEY.size else None
    except (IndexError, struct.error):
        return None
    return kind if kind in (ABORT, COMMIT) else None

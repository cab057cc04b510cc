"""Kafka's record batches, format v2, as they lie in a fetch response.

    base offset i64, length i32, leader epoch i32, magic i8,
    crc u32                    CRC-32C of all that follows it
    attributes i16             bits 0-2 codec, 3 log-append time, 4 transactional, 5 control
    last offset delta i32, base timestamp i64, max timestamp i64,
    producer id i64, producer epoch i16, base sequence i32, count i32
    records                    compressed as a whole

`length` counts the bytes after itself. schemas.batch_records takes the records apart one by
one; schemas.decode does it for whole batches.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.record.util import calc_crc32c

from schemas.batch_records import KafkaRecord, RawBatch, unpack
from schemas.errors import Fatal, Recoverable

__all__ = [
    "ABORT",
    "COMMIT",
    "BatchHeader",
    "CorruptBatch",
    "KafkaRecord",
    "RawBatch",
    "UnsupportedBatch",
    "parse_batches",
    "unpack",
]

ABORT = 0
COMMIT = 1

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_END = 12
_MAGIC_AT = 16
_CRC_END = 21
_MAGIC = 2
_CONTROL_KEY = struct.Struct(">hh")
_CODECS: Mapping[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: gzip_decode,
    2: snappy_decode,
    3: lz4_decode,
    4: zstd_decode,
}


class CorruptBatch(Recoverable):
    """A record batch does not match its checksum, or cannot be decompressed."""


class UnsupportedBatch(Fatal):
    """A record batch in a format that this version cannot read."""


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """What a reader has to know of a batch before it looks at its records.

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
        """The offset at which to go on reading; a compacted batch may end below it."""
        return self.base_offset + self.last_offset_delta + 1


def parse_batches(
    raw: bytes | bytearray | memoryview, topic: str, partition: int, *, check_crc: bool = True
) -> Iterator[tuple[BatchHeader, RawBatch | None]]:
    """Yield the complete batches of a record set; the last may be cut off and is left out.

    The second part is None for control batches and for batches that compaction emptied.
    Batches of aborted transactions are not told apart here: that takes the fetch response's
    list of them. Raises `CorruptBatch` and `UnsupportedBatch`.
    """
    view = memoryview(raw)
    start = 0
    while start + _MAGIC_AT < len(view):
        (length,) = struct.unpack_from(">i", view, start + 8)
        end = start + _LENGTH_END + length
        where = f"{topic}[{partition}] offset {int.from_bytes(view[start : start + 8], 'big')}"
        if view[start + _MAGIC_AT] != _MAGIC:
            raise UnsupportedBatch(
                f"{where}: a message set of format {view[start + _MAGIC_AT]}, older than v2",
                remedy="Copy the topic with a producer of Kafka 0.11 or later",
            )
        if length < _HEADER.size - _LENGTH_END:
            raise CorruptBatch(f"{where}: a batch of {length} bytes is too short for a header")
        if end > len(view):
            return
        yield _parse(view[start:end], topic, partition, where, check_crc)
        start = end


def _parse(
    view: memoryview, topic: str, partition: int, where: str, check_crc: bool
) -> tuple[BatchHeader, RawBatch | None]:
    (base, _, _, _, crc, attributes, last_delta, base_time, max_time, producer, _, _, count) = (
        _HEADER.unpack_from(view)
    )
    if check_crc and calc_crc32c(view[_CRC_END:]) != crc:
        raise CorruptBatch(f"{where}: checksum mismatch", remedy="Fetch again; check the broker")
    is_control = bool(attributes & 0x20)
    batch = None
    if count > 0:
        batch = RawBatch(
            topic=topic,
            partition=partition,
            base_offset=base,
            last_offset=base + last_delta,
            count=count,
            base_timestamp=base_time,
            max_timestamp=max_time,
            log_append_time=bool(attributes & 0x08),
            payload=_decompress(view[_HEADER.size :], attributes & 0x07, where),
        )
    header = BatchHeader(
        base_offset=base,
        last_offset_delta=last_delta,
        count=count,
        producer_id=producer,
        is_transactional=bool(attributes & 0x10),
        is_control=is_control,
        control_type=_control_type(batch) if is_control and batch else None,
    )
    return header, None if is_control else batch


def _decompress(records: memoryview, codec: int, where: str) -> bytes:
    if codec not in _CODECS:
        raise UnsupportedBatch(
            f"{where}: compression codec {codec} is unknown",
            remedy="Produce with gzip, snappy, lz4 or zstd",
        )
    try:
        return _CODECS[codec](bytes(records))
    # Every codec library has errors of its own.
    except Exception as error:
        raise CorruptBatch(f"{where}: records cannot be decompressed: {error}") from error


def _control_type(batch: RawBatch) -> int | None:
    key = unpack(batch)[0].key
    if key is None or len(key) < _CONTROL_KEY.size:
        return None
    kind = _CONTROL_KEY.unpack_from(key)[1]
    return kind if kind in (ABORT, COMMIT) else None

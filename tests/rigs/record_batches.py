"""Record batches as brokers store them, built with aiokafka's own builder."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from schemas.decode.batch import RecordBatch, parse_batches
from schemas.records.varint import varint
from streams.kafka.topic_specs import Topics

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
NOW = 1_760_000_000_000
INPUTS = Topics("t.").inputs


class Produced(NamedTuple):
    value: bytes | None
    key: bytes | None = b"user"
    timestamp: int = NOW
    headers: Sequence[tuple[str, bytes | None]] = ()


def wire(
    records: Sequence[Produced],
    *,
    codec: int = 0,
    base_offset: int = 0,
    attributes: int = 0,
    offsets: Sequence[int] | None = None,
) -> bytes:
    """One record batch; `attributes` are added to the codec's; `offsets` are deltas."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for delta, record in zip(offsets or range(len(records)), records, strict=True):
        builder.append(delta, record.timestamp, record.key, record.value, list(record.headers))
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base_offset)
    (present,) = struct.unpack_from(">h", raw, 21)
    struct.pack_into(">h", raw, 21, present | attributes)
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


def batch(
    records: Sequence[Produced],
    *,
    topic: str = "t.interactions.send",
    partition: int = 0,
    base_offset: int = 0,
    codec: int = 0,
    attributes: int = 0,
    offsets: Sequence[int] | None = None,
) -> RecordBatch:
    """The batch as the fetcher hands it on."""
    raw = wire(
        records, codec=codec, base_offset=base_offset, attributes=attributes, offsets=offsets
    )
    [(_, found)] = parse_batches(raw, topic, partition)
    assert found is not None
    return found


def with_payload(found: RecordBatch, payload: bytes, count: int | None = None) -> RecordBatch:
    """The batch with other bytes for its records."""
    return replace(found, payload=payload, count=found.count if count is None else count)


def two_readings(value: bytes, partition: int = 0) -> RecordBatch:
    """One record with the first bit of its attributes set: a reader that takes the attributes for a
    varint finds another whole record at another offset."""
    framed = varint(len(value)) + value
    key = b"\x01" + varint(9 + len(framed)) + b"k" * 9
    record = b"\x80" + varint(-200) + varint(0) + varint(len(key)) + key + framed + varint(0)
    return with_payload(batch([Produced(value)], partition=partition), varint(len(record)) + record)

"""The single records of one batch: for control topics, rejects and mixed batches.

    length, attributes i8, timestamp delta, offset delta,
    key length (-1: none), key, value length (-1: none), value,
    header count, then per header: key length, key, value length (-1: none), value

All numbers except the attributes are zigzag varints, as in Avro. The first `count` records are
read, and bytes behind them are ignored, as by the Java client. Every number is checked before it is
used, and the memory for a record is limited to a multiple of its bytes: if a record has more than
`MOST_HEADERS` headers, none of them is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from schemas.decode.wire import HEADER, LENGTH_END
from schemas.errors import Fatal
from schemas.records.varint import read_varint

__all__ = [
    "LEAST_BYTES",
    "MOST_HEADERS",
    "CorruptRecords",
    "KafkaRecord",
    "RecordBatch",
    "chunks",
    "proven",
    "unpack",
    "unpack_proven",
]

MOST_HEADERS = 64
LEAST_BYTES = 7
"""What the smallest record takes: one byte for each of its numbers."""
_CHUNK = 20_000
_NO_HEADERS: tuple[tuple[str, bytes | None], ...] = ()
_UNREAD: list[tuple[str, bytes | None]] = []
"""The headers of a record that has too many: known by identity."""
_HALF, _WHOLE = 1 << 63, 1 << 64


class CorruptRecords(Fatal):
    """A batch that cannot be read: `code` is the code of its reject, `detail` says why."""

    def __init__(self, batch: "RecordBatch", code: str, detail: str) -> None:
        super().__init__(
            f"{batch.topic}[{batch.partition}] offset {batch.base_offset}: "
            f"a batch of {batch.count} records cannot be read: {detail}",
            remedy="Check the producer that wrote it",
        )
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """A record batch whose records are still bytes.

    `payload` holds the records, decompressed. Timestamps are the broker's, in milliseconds; with
    `log_append_time` every record has `max_timestamp`. `fault`, if set, is (code, detail): why the
    records cannot be read; then `payload` is empty. `wire` is the batch as in the log. `proven`
    says that all records have been read once and none has too many headers.
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
    fault: tuple[str, str] | None = None
    wire: bytes | memoryview = b""
    proven: bool = False

    @property
    def next_offset(self) -> int:
        """The offset after the last one of the batch."""
        return self.last_offset + 1


class KafkaRecord(NamedTuple):
    """One record; `timestamp` in milliseconds. In a header key, bytes that are not UTF-8 are
    replaced.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def unpack(batch: RecordBatch) -> list[KafkaRecord]:
    """The records of a batch, in order. Raises `CorruptRecords`."""
    return unpack_proven(batch) if batch.proven else list(_walk(batch))


def proven(batch: RecordBatch) -> RecordBatch:
    """The batch after a look at all of its records, so that `unpack` need not look again and is
    several times as fast. Raises `CorruptRecords`."""
    few = True
    for record in _walk(batch):
        few = few and record.headers is not _UNREAD
    return replace(batch, proven=few)


def chunks(batch: RecordBatch) -> Iterator[list[KafkaRecord]]:
    """The records of a batch, some thousands at a time.

    Raises `CorruptRecords` before the first chunk if any record cannot be read.
    """
    if batch.count > _CHUNK:
        for _ in _walk(batch):
            pass
    chunk: list[KafkaRecord] = []
    for record in _walk(batch):
        chunk.append(record)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def unpack_proven(batch: RecordBatch) -> list[KafkaRecord]:
    """As `unpack`, several times as fast, for a batch with few headers that schemas.decode.blocks
    has read, and that is therefore known to be valid.
    """
    header = HEADER.pack(
        batch.base_offset,
        HEADER.size - LENGTH_END + len(batch.payload),
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
        if not _plain(batch):
            return list(_walk(batch))
        return [
            KafkaRecord(
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                record.headers or _NO_HEADERS,
            )
            for record in DefaultRecordBatch(header + batch.payload)
        ]
    # Header keys that are no text, or bytes behind the records: what `unpack` takes.
    except (CorruptRecordException, ValueError, IndexError):
        return list(_walk(batch))


def _plain(batch: RecordBatch) -> bool:
    """Whether the client library reads the records of a valid batch where they are.

    It takes the attributes for a varint, which has more than one byte if the first bit is set; to
    everybody else attributes are one byte, and brokers accept any.
    """
    data, at = batch.payload, 0
    for _ in range(batch.count):
        length = data[at]
        if length < 0x80:
            length, at = length >> 1, at + 1
        else:
            length, at = read_varint(data, at)
        if data[at] >= 0x80:
            return False
        at += length
    return True


def _walk(batch: RecordBatch) -> Iterator[KafkaRecord]:
    if batch.fault is not None:
        raise CorruptRecords(batch, *batch.fault)
    data, base, last = batch.payload, batch.base_offset, batch.last_offset - batch.base_offset
    size = len(data)
    if batch.count * LEAST_BYTES > size:
        raise _corrupt(batch, f"{size} bytes are too few")
    at = 0
    before = -1
    try:
        for _ in range(batch.count):
            length, at = read_varint(data, at)
            end = at + length
            if length < 0 or end > size:
                raise _corrupt(batch, f"a record of {length} bytes ends elsewhere")
            delta, at = read_varint(data, at + 1)
            offset, at = read_varint(data, at)
            if not before < offset <= last:
                raise _corrupt(batch, f"offset {base + offset} is out of order")
            before = offset
            key, at = _bytes(data, at, end)
            value, at = _bytes(data, at, end)
            headers: Sequence[tuple[str, bytes | None]] = _NO_HEADERS
            if at + 1 == end and not data[at]:  # nearly all have none: one byte of zero
                at = end
            else:
                count, at = read_varint(data, at)
                if count < 0 or 2 * count > end - at:
                    raise IndexError
                if count > MOST_HEADERS:
                    headers, at = _UNREAD, end
                elif count:
                    headers, at = _headers(data, at, end, count)
            if at != end:
                raise _corrupt(batch, f"a record of {length} bytes ends elsewhere")
            time = batch.max_timestamp if batch.log_append_time else batch.base_timestamp + delta
            if not -_HALF <= time < _HALF:
                # as in the arithmetic of 64 bits that every other reader has
                time = (time + _HALF) % _WHOLE - _HALF
            yield KafkaRecord(base + offset, time, key, value, headers)
    except IndexError as error:
        raise _corrupt(batch, "a record ends too early") from error


def _headers(
    data: bytes, at: int, end: int, count: int
) -> tuple[list[tuple[str, bytes | None]], int]:
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, at = _bytes(data, at, end)
        content, at = _bytes(data, at, end)
        headers.append(((name or b"").decode(errors="replace"), content))
    return headers, at


def _bytes(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    length, at = read_varint(data, at)
    if length < 0:
        return None, at
    if at + length > end:
        raise IndexError
    return data[at : at + length], at + length


def _corrupt(batch: RecordBatch, detail: str) -> CorruptRecords:
    return CorruptRecords(batch, "undecodable", detail)

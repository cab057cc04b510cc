"""The format of stored records: a header of each record that workers keep for themselves.

The header says which format a reader must know to understand the record. It has the number of a
format, and not of a version: most versions change no format. A version that writes what former
versions cannot read raises `FORMAT`, and writes the higher number only on those records.

Records of 0.1.0 have no such header: they are of format 1. Records in Avro have their schema id
instead, and the headers of an archived segment, its Parquet file and the changelog's origin have
numbers of their own beside it.
"""

import struct
from collections.abc import Iterable

from schemas.decode.batch_records import KafkaRecord, RecordBatch
from schemas.errors import Fatal
from schemas.records.registry import OWN, REGISTRY
from streams.kafka.foreign_records import in_transaction, records_of, whole_records_of

__all__ = [
    "FORMAT",
    "HEADER",
    "STAMP",
    "NewerFormat",
    "check",
    "check_schema",
    "stored_records_of",
    "whole_stored_records_of",
]

FORMAT = 1
_DIGITS = 10
_FRAME = struct.Struct(">BI")
_NEXT = 1_000
"""So many ids after ours count as those of later versions."""
HEADER = "emberline-format"
STAMP: tuple[tuple[str, bytes], ...] = ((HEADER, b"%d" % FORMAT),)
"""The headers of a record that any version can read which knows `FORMAT`."""


class NewerFormat(Fatal):
    """A newer version has written a record that this version does not know how to read."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(
            f"{place} {what}, which a newer version of emberline has written",
            remedy="Run the newer version again on all workers. Nothing has been changed: "
            "docs/upgrading.md says which versions read which formats",
        )


def check(topic: str, partition: int, records: Iterable[KafkaRecord]) -> None:
    """Raises `NewerFormat` for the first record of a format that this version does not know."""
    for record in records:
        for name, value in record.headers:
            if name == HEADER and _number(value) > FORMAT:
                place = f"{topic}[{partition}]@{record.offset}"
                raise NewerFormat(place, f"has format {_number(value)} and not {FORMAT}")


def check_schema(batch: RecordBatch, record: KafkaRecord) -> None:
    """For a record of a topic that only workers write, whose schema is not known: raises
    `NewerFormat` if it has one of the next ids of ours, and a worker can have written it.
    """
    value = record.value or b""
    if in_transaction(batch) is False or len(value) < _FRAME.size or value[0]:
        return
    _, schema = _FRAME.unpack_from(value)
    known = max(number for number in REGISTRY if number < OWN)
    if known < schema % OWN <= known + _NEXT:
        place = f"{batch.topic}[{batch.partition}]@{record.offset}"
        raise NewerFormat(place, f"has schema id {schema}")


def _number(value: bytes | None) -> int:
    """The format that a header states; 0 where another program has written the header."""
    return int(value) if value is not None and value.isdigit() and len(value) < _DIGITS else 0


def stored_records_of(batch: RecordBatch) -> list[KafkaRecord]:
    """As `records_of`, for a topic that only workers write. Raises `NewerFormat`."""
    records = records_of(batch)
    check(batch.topic, batch.partition, records)
    return records


def whole_stored_records_of(batch: RecordBatch) -> list[KafkaRecord]:
    """As `whole_records_of`, for a topic that only workers write. Raises `NewerFormat` and
    `CorruptRecords`.
    """
    records = whole_records_of(batch)
    check(batch.topic, batch.partition, records)
    return records

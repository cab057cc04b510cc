"""One record of the archive, read without trust."""

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from agents.verify.segment_facts import SegmentFacts, facts_of
from schemas.decode.batch_records import KafkaRecord
from schemas.segment.index import SegmentIndex

__all__ = ["ArchivedRecord", "read_archived"]


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    """What the headers of a record say, and what its bytes are."""

    offset: int
    segment: str
    source: str
    epoch: int
    rows: int
    partitions: int
    checksum: str
    replaces: tuple[str, ...]
    index: SegmentIndex
    facts: SegmentFacts


def read_archived(
    record: KafkaRecord, expected: Collection[str], partition: int, partitions: int
) -> tuple[ArchivedRecord, pl.DataFrame | None]:
    """Read a record of a shard's archive, and its rows if they can be read.

    `expected` are checksums that others say it has.

    Raises `ValueError` if the record is no archived segment.
    """
    headers = {name: value or b"" for name, value in record.headers}
    try:
        texts = {name: headers[name].decode() for name in _TEXTS}
        index = SegmentIndex.from_json(headers["index"])
        epoch, rows, written = (int(texts[name]) for name in ("epoch", "rows", "partitions"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its headers are none of ours: {type(error).__name__} {error}") from error
    data = record.value or b""
    known = {*expected, texts["checksum"], index.checksum}
    facts, frame = facts_of(data, known, partition, partitions)
    replaces = tuple(filter(None, texts["replaces"].split(",")))
    archived = ArchivedRecord(
        record.offset,
        texts["segment"],
        texts["source"],
        epoch,
        rows,
        written,
        texts["checksum"],
        replaces,
        index,
        facts,
    )
    return archived, frame


_TEXTS = ("segment", "source", "epoch", "rows", "partitions", "checksum", "replaces")

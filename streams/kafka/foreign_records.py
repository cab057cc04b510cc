"""Records in internal topics that no worker can have written: they must stop no actor.

They are counted. The log names the first ones of each topic, and later ones at growing intervals.
"""

import logging
import struct
from collections import Counter

from schemas.decode.batch_records import CorruptRecords, KafkaRecord, RecordBatch, unpack
from schemas.records.lifecycle import is_source

__all__ = [
    "COUNTS",
    "in_transaction",
    "names_source",
    "own_key",
    "pass_over",
    "producer_of",
    "records_of",
    "whole_records_of",
]

log = logging.getLogger(__name__)

COUNTS: Counter[str] = Counter()
"""Records and batches left out since the process began, by topic."""
_PRODUCER = struct.Struct(">q")
_PRODUCER_AT = 43
"""Where the producer's id stands in a batch's header."""
_ATTRIBUTES = struct.Struct(">h")
_ATTRIBUTES_AT = 21
_TRANSACTIONAL = 0x10


def records_of(batch: RecordBatch) -> list[KafkaRecord]:
    """The records of a batch; empty for a batch that cannot be read, which is skipped as a
    whole.
    """
    try:
        return unpack(batch)
    except CorruptRecords as error:
        pass_over(batch.topic, batch.partition, batch.base_offset, error.message)
        return []


def whole_records_of(batch: RecordBatch) -> list[KafkaRecord]:
    """As `records_of`, for a topic whose records shards write in transactions. Raises
    `CorruptRecords` for a batch of a transaction: then the log is damaged, and an operator must
    know.
    """
    return records_of(batch) if in_transaction(batch) is False else unpack(batch)


def producer_of(batch: RecordBatch) -> int | None:
    """The id of the producer that wrote a batch; None where that is not known."""
    if len(batch.wire) < _PRODUCER_AT + _PRODUCER.size:
        return None
    found: int = _PRODUCER.unpack_from(batch.wire, _PRODUCER_AT)[0]
    return found


def in_transaction(batch: RecordBatch) -> bool | None:
    """Whether a batch was written within a transaction; None where that is not known."""
    if len(batch.wire) < _ATTRIBUTES_AT + _ATTRIBUTES.size:
        return None
    found: int = _ATTRIBUTES.unpack_from(batch.wire, _ATTRIBUTES_AT)[0]
    return bool(found & _TRANSACTIONAL)


def own_key(key: bytes | None) -> str | None:
    """The key as text; None for a key that is not UTF-8, because emberline writes only UTF-8
    keys.
    """
    text = (key or b"").decode(errors="replace")
    return text if text.encode() == (key or b"") else None


def names_source(key: bytes | None) -> bool:
    """Whether a record's key names a campaign or a Canvas, so that the record must not be
    ignored.
    """
    text = own_key(key)
    return text is not None and is_source(text)


def pass_over(topic: str, partition: int, offset: int, why: str) -> None:
    """Skip a record: count it, and warn at the 1st, 2nd, 4th, 8th .. of its topic."""
    COUNTS[topic] += 1
    count = COUNTS[topic]
    if count & (count - 1) == 0:
        log.warning(
            "%s[%d] offset %d is a foreign record and is skipped (%d so far): %.200s",
            topic,
            partition,
            offset,
            count,
            why,
        )

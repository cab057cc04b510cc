"""Packs records into one batch, as a broker would return it: for checking records before they are
sent.
"""

from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.decode.batch import parse_batches
from schemas.decode.batch_records import RecordBatch
from schemas.errors import Fatal

__all__ = ["packed"]

_ANY_SIZE = 1 << 31


def packed(
    records: Sequence[tuple[bytes | None, bytes | None]], topic: str, timestamp: int
) -> RecordBatch:
    """A batch of (key, value) pairs at the offsets 0, 1, ..; `timestamp` in milliseconds."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, _ANY_SIZE)
    for offset, (key, value) in enumerate(records):
        builder.append(offset, timestamp, key, value, [])
    [(_, batch)] = parse_batches(builder.build(), topic, 0, check_crc=False)
    if batch is None:
        raise Fatal("A batch without records")
    return batch

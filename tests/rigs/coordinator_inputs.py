"""Batches as the coordinator fetches them."""

from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.decode.batch import RecordBatch, parse_batches
from streams.kafka.topics import Topics

TOPICS = Topics("p.")

NOW = 1_700_000_000_000

ACTIVE = b'{"key":"campaign:a","status":"ACTIVE"}'


def batch(
    topic: str,
    *records: tuple[bytes | None, bytes | None],
    headers: Sequence[tuple[str, bytes]] = (),
) -> RecordBatch:
    """A batch as it is fetched, from offset 0; every record has these headers."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
    for offset, (key, value) in enumerate(records):
        builder.append(offset, timestamp=1, key=key, value=value, headers=list(headers))
    ((_, found),) = parse_batches(bytes(builder.build()), topic, 0)
    assert found is not None
    return found

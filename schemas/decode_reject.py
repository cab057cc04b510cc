"""A record that cannot be used, as it goes to the topic `rejected`."""

from dataclasses import dataclass

from schemas.batch import KafkaRecord, RawBatch
from schemas.decode_check import Limits

__all__ = ["Reject", "reject"]


@dataclass(frozen=True, slots=True)
class Reject:
    """Where a record lay, why it cannot be used (the codes of the contract), and its bytes.

    `key` and `value` are the original bytes; together they are cut to
    `Limits.max_record_bytes`.
    """

    topic: str
    partition: int
    offset: int
    code: str
    detail: str
    key: bytes | None
    value: bytes | None


def reject(batch: RawBatch, record: KafkaRecord, code: str, detail: str, limits: Limits) -> Reject:
    """The reject of a record of `batch`."""
    key, value = record.key, record.value
    room = limits.max_record_bytes
    if key is not None:
        key = key[:room]
        room -= len(key)
    if value is not None:
        value = value[:room]
    return Reject(batch.topic, batch.partition, record.offset, code, detail, key, value)

"""A record that cannot be used, as it goes to the topic `rejected`."""

from dataclasses import dataclass

from schemas.batch import KafkaRecord, RawBatch
from schemas.decode_check import DEFAULT_LIMITS, Limits
from schemas.forward import Place, place_of, restored

__all__ = ["Reject", "reject"]

_DETAIL_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class Reject:
    """Where a record lay, why it cannot be used (the codes of the contract), and its bytes.

    The place is that of the producer's record, whatever way it went. `key` and `value` are the
    original bytes, None where there were none; together they are cut to
    `Limits.max_record_bytes`. `detail` has at most 1,000 characters: it may quote what a
    stranger wrote, and must leave key, value and headers room in one record.
    """

    topic: str
    partition: int
    offset: int
    code: str
    detail: str
    key: bytes | None
    value: bytes | None

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers of its record in `rejected`, below 5,000 bytes together."""
        return (
            ("topic", self.topic.encode()),
            ("partition", str(self.partition).encode()),
            ("offset", str(self.offset).encode()),
            ("code", self.code.encode()),
            # a text out of JSON may hold half a surrogate pair, which has no UTF-8
            ("detail", self.detail.encode(errors="replace")),
        )


def reject(
    batch: RawBatch,
    record: KafkaRecord,
    code: str,
    detail: str,
    limits: Limits = DEFAULT_LIMITS,
    *,
    forwarded: bool = False,
) -> Reject:
    """The reject of a record of `batch`, which is one of `repartition` if `forwarded`."""
    place: Place | None = None
    if forwarded:
        place, record = place_of(record), restored(record)
    place = place or Place(batch.topic, batch.partition, record.offset)
    key, value = record.key, record.value
    room = limits.max_record_bytes
    if key is not None:
        key = key[:room]
        room -= len(key)
    if value is not None:
        value = value[:room]
    detail = detail[:_DETAIL_CHARACTERS]
    return Reject(*place, code, detail, key, value)

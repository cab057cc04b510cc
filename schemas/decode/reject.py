"""Unusable records and batches, as they are written to the topic `rejected`."""

from dataclasses import dataclass, field

from schemas.decode.batch import KafkaRecord, RecordBatch
from schemas.decode.check import DEFAULT_LIMITS, RecordLimits
from schemas.decode.forward import RecordPosition, place_of, restored

__all__ = ["Reject", "Rejects", "reject", "reject_batch"]

_DETAIL_CHARACTERS = 1_000
_GROWTH = 40
_SPARE = 10_000
"""Bytes that the rejects of a batch may take beside the multiple of its own."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The position of a record, its bytes, and the code why it is unusable (one of
    schemas.records.undecodable).

    The position is that of the producer's record, also if the record was forwarded. `key` and
    `value` are the original bytes, None if there were none; together they are cut to
    `Limits.max_record_bytes`. `detail` has at most 1,000 characters, because it may quote foreign
    text and must leave room for key, value and headers in one record.
    """

    topic: str
    partition: int
    offset: int
    code: str
    detail: str
    key: bytes | None
    value: bytes | None

    @property
    def weight(self) -> int:
        """About how many bytes it adds to `rejected`."""
        own = len(self.key or b"") + len(self.value or b"")
        return own + sum(len(name) + len(value) for name, value in self.headers)

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers of its record in `rejected`, below 5,000 bytes in total."""
        return (
            ("topic", self.topic.encode()),
            ("partition", str(self.partition).encode()),
            ("offset", str(self.offset).encode()),
            ("code", self.code.encode()),
            # a text out of JSON may hold half a surrogate pair, which has no UTF-8
            ("detail", self.detail.encode(errors="replace")),
        )


class Rejects:
    """Collects the rejects of one step; the size of each batch's rejects is limited to a multiple
    of the batch.

    If the rejects of a batch's records would take more than `_GROWTH` times the bytes of the batch
    in the log, the batch is rejected as a whole. Only a batch that was made for this purpose
    reaches that limit.
    """

    def __init__(self, limits: RecordLimits, repartition: str | None = None) -> None:
        """Records of the topic `repartition` are treated as forwarded records."""
        self._limits = limits
        self._repartition = repartition
        self._of: dict[tuple[str, int, int], _OfBatch] = {}

    @property
    def found(self) -> list[Reject]:
        """All rejects, batch by batch."""
        return [one for batch in self._of.values() for one in batch.rejects]

    def add(self, batch: RecordBatch, record: KafkaRecord, code: str, detail: str) -> None:
        """Add one record of `batch`."""
        of = self._of_batch(batch)
        of.count += 1
        if of.whole:
            return
        forwarded = batch.topic == self._repartition
        made = reject(batch, record, code, detail, self._limits, forwarded=forwarded)
        of.rejects.append(made)
        of.weight += made.weight
        if of.weight > _GROWTH * len(batch.wire or batch.payload) + _SPARE:
            first = of.rejects[0]
            detail = f"{first.detail} (at offset {first.offset}, and more such records)"
            of.rejects = [reject_batch(batch, first.code, detail, self._limits)]
            of.whole = True

    def add_batch(self, batch: RecordBatch, code: str, detail: str) -> None:
        """Add the whole `batch`."""
        of = self._of_batch(batch)
        of.rejects = [reject_batch(batch, code, detail, self._limits)]
        of.whole = True

    def _of_batch(self, batch: RecordBatch) -> "_OfBatch":
        return self._of.setdefault((batch.topic, batch.partition, batch.base_offset), _OfBatch())


@dataclass(slots=True)
class _OfBatch:
    rejects: list[Reject] = field(default_factory=list)
    weight: int = 0
    count: int = 0
    whole: bool = False


def reject_batch(
    batch: RecordBatch, code: str, detail: str, limits: RecordLimits = DEFAULT_LIMITS
) -> Reject:
    """The reject of a whole batch: the position of its first record, and the batch as in the log
    with its header, cut to the size limit.
    """
    detail = f"a batch of {batch.count} records up to offset {batch.last_offset}: {detail}"
    value = bytes(batch.wire[: limits.max_record_bytes])
    place = RecordPosition(batch.topic, batch.partition, batch.base_offset)
    return Reject(*place, code, detail[:_DETAIL_CHARACTERS], None, value)


def reject(
    batch: RecordBatch,
    record: KafkaRecord,
    code: str,
    detail: str,
    limits: RecordLimits = DEFAULT_LIMITS,
    *,
    forwarded: bool = False,
) -> Reject:
    """The reject of a record of `batch`, which is one of `repartition` if `forwarded`."""
    place: RecordPosition | None = None
    if forwarded:
        place, record = place_of(record), restored(record)
    place = place or RecordPosition(batch.topic, batch.partition, record.offset)
    key, value = record.key, record.value
    room = limits.max_record_bytes
    if key is not None:
        key = key[:room]
        room -= len(key)
    if value is not None:
        value = value[:room]
    detail = detail[:_DETAIL_CHARACTERS]
    return Reject(*place, code, detail, key, value)

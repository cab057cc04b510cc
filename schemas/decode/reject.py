"""Records and batches that cannot be used, as they go to the topic `rejected`."""

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
    def weight(self) -> int:
        """What it adds to `rejected`, about: bytes."""
        own = len(self.key or b"") + len(self.value or b"")
        return own + sum(len(name) + len(value) for name, value in self.headers)

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


class Rejects:
    """Gathers the rejects of one step, each batch's bounded by a multiple of the batch.

    Where the rejects of a batch's records would take more than `_GROWTH` times the bytes that
    it has in the log, which only what was made to do so does, the batch is put aside as one.
    """

    def __init__(self, limits: RecordLimits, repartition: str | None = None) -> None:
        """Records of the topic `repartition` are forwarded ones."""
        self._limits = limits
        self._repartition = repartition
        self._of: dict[tuple[str, int, int], _OfBatch] = {}

    @property
    def found(self) -> list[Reject]:
        """All of them, batch by batch."""
        return [one for batch in self._of.values() for one in batch.rejects]

    def add(self, batch: RecordBatch, record: KafkaRecord, code: str, detail: str) -> None:
        """One record of `batch`."""
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
        """All of `batch`."""
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
    """The reject of a whole batch: the place of its first record, and its bytes in the log, from
    its header on, as many as fit.
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

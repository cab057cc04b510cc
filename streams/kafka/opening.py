"""Batches opened for a reader of records: so many as fit, those that can be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.decode.batch import RecordBatch, SealedBatch, chunks
from schemas.decode.batch_records import CorruptRecords

__all__ = ["Opened", "open_batches"]


@dataclass(slots=True)
class Opened:
    """`batches` hold together; `unreadable` do not: each with a code and the reason.

    `following` says for each partition of which some were left sealed where the first of those
    begins.
    """

    batches: list[RecordBatch] = field(default_factory=list)
    unreadable: list[tuple[RecordBatch, str, str]] = field(default_factory=list)
    following: dict[tuple[str, int], int] = field(default_factory=dict)


def open_batches(sealed: Sequence[SealedBatch], most_each: int, most: int) -> Opened:
    """Open batches, in their order, until they take `most` bytes, the first in any case.

    None takes more than `most_each`. Work for a thread.
    """
    found = Opened()
    size = 0
    for batch in sealed:
        if size >= most:
            found.following.setdefault((batch.topic, batch.partition), batch.base_offset)
            continue
        opened = batch.opened(most_each)
        size += len(opened.payload)
        try:
            for _ in chunks(opened):
                pass
        except CorruptRecords as error:
            found.unreadable.append((opened, error.code, error.detail))
        else:
            found.batches.append(opened)
    return found

"""Opens batches for a reader of records: as many as fit, and separates those that cannot be
read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.decode.batch import RecordBatch, SealedBatch
from schemas.decode.batch_records import CorruptRecords, proven

__all__ = ["Opened", "open_batches"]


@dataclass(slots=True)
class Opened:
    """`batches` are readable; `unreadable` are not, each with a code and a reason.

    `following` has, for each partition with batches that stay sealed, the offset at which the first
    of them begins.
    """

    batches: list[RecordBatch] = field(default_factory=list)
    unreadable: list[tuple[RecordBatch, str, str]] = field(default_factory=list)
    following: dict[tuple[str, int], int] = field(default_factory=dict)


def open_batches(sealed: Sequence[SealedBatch], most_each: int, most: int) -> Opened:
    """Open batches, in order, until they take `most` bytes; the first batch is always opened.

    One batch takes at most `most_each` bytes. Call it in a thread.
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
            found.batches.append(proven(opened))
        except CorruptRecords as error:
            found.unreadable.append((opened, error.code, error.detail))
    return found

"""The committed batches of one fetch response, without aborted transactions and control batches.

A read_committed response contains a list of the aborted transactions that overlap it, each as
`(producer id, first offset)`. Transactional batches of such a producer are dropped from that offset
on, up to the producer's abort marker (KIP-98).
"""

from collections.abc import Iterable

from schemas.decode.batch import CorruptBatch, SealedBatch, seal_batches

__all__ = ["committed"]


def committed(
    raw: bytes,
    partition: tuple[str, int],
    position: int,
    aborted: Iterable[tuple[int, int]],
    *,
    check_crc: bool = True,
) -> tuple[list[SealedBatch], int]:
    """`(batches, following)`: the readable batches, and the offset after the last batch that was
    looked at.

    `following` is at least `position`; it lies behind control and aborted batches too, so that a
    reader does not fetch them again. Reading ends at a corrupt batch. Raises `CorruptBatch` if that
    is the first batch.
    """
    waiting = sorted(aborted, key=lambda transaction: transaction[1])
    dropped: set[int] = set()
    kept: list[SealedBatch] = []
    following = position
    batches = seal_batches(raw, *partition, check_crc=check_crc)
    while True:
        try:
            found = next(batches, None)
        except CorruptBatch:
            if following > position:
                break
            raise
        if found is None:
            break
        header, batch = found
        while waiting and waiting[0][1] <= header.base_offset:
            dropped.add(waiting.pop(0)[0])
        following = max(following, header.next_offset)
        if header.is_control:
            dropped.discard(header.producer_id)
        elif header.is_transactional and header.producer_id in dropped:
            continue
        elif batch is not None and header.next_offset > position:
            kept.append(batch)
    return kept, following

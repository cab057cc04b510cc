"""Committed batches of one fetch response: aborted transactions and control batches left out.

The broker sends, with a read_committed response, the aborted transactions that overlap it as
`(producer id, first offset)`. A transactional batch of such a producer from that offset on is
dropped until the producer's abort marker is passed (KIP-98).
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
    """`(batches, following)`: the readable batches and the offset after the last one seen.

    `following` is at least `position`; it passes control and aborted batches too, so that a
    reader does not fetch them again. A corrupt batch ends what is read; raises `CorruptBatch`
    where it is the first.
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

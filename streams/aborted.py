"""Committed batches of one fetch response: aborted transactions and control batches left out.

The broker sends, with a read_committed response, the aborted transactions that overlap it as
`(producer id, first offset)`. A transactional batch of such a producer from that offset on is
dropped until the producer's abort marker is passed (KIP-98).
"""

from collections.abc import Iterable

from schemas.batch import RawBatch, parse_batches

__all__ = ["committed"]


def committed(
    raw: bytes,
    partition: tuple[str, int],
    position: int,
    aborted: Iterable[tuple[int, int]],
    most_bytes: int,
) -> tuple[list[RawBatch], int]:
    """`(batches, following)`: the readable batches and the offset after the last one seen.

    `following` is at least `position`; it passes control and aborted batches too, so that a
    reader does not fetch them again. What comes after `most_bytes` of decompressed records is
    not looked at, only the first batch whatever its size. Raises what `parse_batches` raises
    for corrupt bytes.
    """
    waiting = sorted(aborted, key=lambda transaction: transaction[1])
    dropped: set[int] = set()
    kept: list[RawBatch] = []
    following = position
    taken = 0
    for header, batch in parse_batches(raw, *partition):
        while waiting and waiting[0][1] <= header.base_offset:
            dropped.add(waiting.pop(0)[0])
        following = max(following, header.next_offset)
        if header.is_control:
            dropped.discard(header.producer_id)
        elif header.is_transactional and header.producer_id in dropped:
            continue
        elif batch is not None and header.next_offset > position:
            kept.append(batch)
            taken += len(batch.payload)
            if taken >= most_bytes:
                break
    return kept, following

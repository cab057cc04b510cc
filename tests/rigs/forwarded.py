"""Records forwarded by another shard, as they are fetched."""

from collections.abc import Sequence

from aiokafka.partitioner import murmur2

from schemas.decode.batch import RecordBatch
from schemas.decode.forward import Forward
from tests.rigs.record_batches import NOW, Produced, batch

N = 4

REPARTITION = "t.repartition"

LONG_AFTER = NOW + 400 * 86_400_000


def owner(user: str) -> int:
    return int(murmur2(user.encode()) & 0x7FFF_FFFF) % N


USERS = [f"{number:024x}" for number in range(200)]


def forwarded(forwards: Sequence[Forward], topic: str = REPARTITION) -> list[RecordBatch]:
    """What arrives of forwards in `repartition`, which has a time of its own for all."""
    return [
        batch(
            [
                Produced(value, key, LONG_AFTER, [*f.headers, *own])
                for (key, value), own in zip(f.keyed(), f.own_headers(), strict=True)
            ],
            topic=topic,
            partition=f.target,
        )
        for f in forwards
    ]


def forwarded_before(forwards: Sequence[Forward]) -> list[RecordBatch]:
    """The same as earlier releases forwarded it."""
    return [
        batch(
            [Produced(r.value, r.key, r.timestamp, f.headers[:1]) for r in f.records],
            topic=REPARTITION,
            partition=f.target,
        )
        for f in forwards
    ]

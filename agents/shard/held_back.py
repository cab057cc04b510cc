"""For how long the open transaction of a producer has held records back."""

from collections.abc import Iterable, Mapping

from streams.clock import Clock
from streams.kafka.log import Partition

__all__ = ["HeldBackAge"]


class HeldBackAge:
    """Follows the last stable offset of the inputs of one shard. A reader that has read all it may
    stands at the last stable offset, so a position that moves on means another transaction.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic_s
        #: The position and since when nothing moved there, of partitions that are held back.
        self._since: dict[Partition, tuple[int, float]] = {}

    def note(self, held_back: Iterable[Partition], positions: Mapping[Partition, int]) -> None:
        """After a fetch: the partitions with records that cannot be read, and all positions."""
        now, former = self._now(), self._since
        self._since = {}
        for partition in held_back:
            at, since = former.get(partition, (-1, now))
            position = positions[partition]
            self._since[partition] = position, since if at == position else now

    @property
    def seconds(self) -> float:
        """The age of the oldest; 0 if nothing is held back."""
        if not self._since:
            return 0.0
        return self._now() - min(since for _, since in self._since.values())

"""Sources whose work does not go on: a shard leaves them alone for a while, longer each time."""

from collections.abc import Mapping

from streams.clock import Clock

__all__ = ["Rests"]

_FIRST_S = 5.0
_LONGEST_S = 600.0


class Rests:
    """By source: the version whose work rests, until when, and how long. Old versions go when a
    source rests again, so there is one entry for each source at most.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic_s
        self._found: dict[str, tuple[int, float, float]] = {}

    def rest(self, versions: Mapping[str, int]) -> None:
        """Leave these sources, by version, alone: twice as long as the last time."""
        now = self._now()
        for source, version in versions.items():
            former, _, pause = self._found.get(source, (version, 0.0, 0.0))
            pause = min(2 * pause, _LONGEST_S) if pause and former == version else _FIRST_S
            self._found[source] = (version, now + pause, pause)

    def resting(self, source: str, version: int) -> bool:
        """Whether the work of this version rests now."""
        known, until, _ = self._found.get(source, (-1, 0.0, 0.0))
        return known == version and self._now() < until

    def over(self, source: str) -> None:
        """The work of a source is done: the next trouble is the first one again."""
        self._found.pop(source, None)

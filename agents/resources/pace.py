"""How fast shards take in events, measured between the questions of those who ask."""

from dataclasses import dataclass

from streams.clock import Clock

__all__ = ["Pace"]

SHORTEST_S = 1.0
"""Of a measurement: shorter ones say little."""
LONGEST_S = 60.0
"""Older measurements say nothing about now."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    events: int


class Pace:
    """Events a second of each shard, over the last seconds. It costs nothing while nobody asks, and
    holds two samples for each shard.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: dict[int, tuple[_Sample, _Sample]] = {}

    def rate(self, shard: int, events: int) -> float | None:
        """The rate of a shard that has taken in so many events since it started; None without an
        earlier question, from 1 to 60 seconds ago.
        """
        now = _Sample(self._clock.monotonic_s(), events)
        base, latest = self._samples.get(shard, (now, now))
        if now.at - latest.at > LONGEST_S or events < latest.events:
            base = latest = now  # nobody has asked for long, or the shard has started again
        elif now.at - latest.at >= SHORTEST_S:
            base, latest = latest, now
        self._samples[shard] = base, latest
        passed = now.at - base.at
        return (events - base.events) / passed if passed >= SHORTEST_S else None

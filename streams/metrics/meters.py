"""Figures that grow while a worker runs: counts and durations, by their labels.

Actors note them once a step or once a request, never once an event. What can be read when somebody
asks, such as the lag, is not here. Use one object in one event loop.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from streams.metrics.names import Metric

__all__ = ["Durations", "Labels", "Meters"]

Labels = tuple[str, ...]

_MOST = 2_000
"""Of label sets of one metric. What has more is a fault of the program: the rest is not kept."""


@dataclass(slots=True)
class Durations:
    """How many durations lie up to each bound and above the one before it; the last number is
    those above all bounds.
    """

    bounds: tuple[float, ...]
    numbers: list[int] = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.numbers = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.numbers[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds


class Meters:
    """The figures of one worker."""

    def __init__(self) -> None:
        self._counts: dict[Metric, dict[Labels, float]] = {}
        self._durations: dict[Metric, dict[Labels, Durations]] = {}
        self._values: dict[Metric, dict[Labels, float]] = {}

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        counts = self._counts.setdefault(metric, {})
        if labels in counts:
            counts[labels] += by
        elif len(counts) < _MOST:
            counts[labels] = by

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Add a duration to a histogram."""
        held = self._durations.setdefault(metric, {})
        found = held.get(labels)
        if found is None:
            if len(held) >= _MOST:
                return
            found = held[labels] = Durations(metric.bounds)
        found.add(seconds)

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge to what was measured last."""
        values = self._values.setdefault(metric, {})
        if labels in values or len(values) < _MOST:
            values[labels] = value

    def drop(self, metric: Metric) -> None:
        """Forget a gauge, which is not measured here any more."""
        self._values.pop(metric, None)

    def numbers(self) -> Iterator[tuple[Metric, Mapping[Labels, float]]]:
        """Counters and gauges, as they are now."""
        for held in (self._counts, self._values):
            for metric, found in held.items():
                yield metric, dict(found)

    def durations(self) -> Iterator[tuple[Metric, Mapping[Labels, Durations]]]:
        """Histograms. They change further: write them in the same step of the event loop."""
        yield from self._durations.items()

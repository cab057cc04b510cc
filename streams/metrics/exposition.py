"""The text that Prometheus reads: samples as families, and their encoding.

`Families.of` copies all figures, in the event loop; `encode` may then run in a thread.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from streams.metrics.meters import Durations, Labels, Meters
from streams.metrics.names import ALL, STANDARD, Metric

__all__ = ["MEDIA_TYPES", "Families", "MetricValue", "encode"]

MEDIA_TYPES = ("text/plain", "application/openmetrics-text")
"""The formats that a reader can ask for."""

_PROCESS = ProcessCollector(registry=None)


class MetricValue(NamedTuple):
    """One value that was read for this answer."""

    metric: Metric
    value: float
    labels: Labels = ()


class Families(Collector):
    """All figures of one moment, in the order of the table of names."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    @classmethod
    def of(cls, samples: Iterable[MetricValue], meters: Meters) -> "Families":
        """What was read, and what actors have noted."""
        numbers: dict[Metric, dict[Labels, float]] = {}
        for metric, value, labels in samples:
            numbers.setdefault(metric, {})[labels] = value
        for metric, found in meters.numbers():
            numbers.setdefault(metric, {}).update(found)
        durations = dict(meters.durations())
        return cls(
            _histogram(metric, durations.get(metric, {}))
            if metric.kind == "histogram"
            else _numbers(metric, numbers[metric])
            for metric in ALL
            if metric in numbers or metric in durations
        )

    def collect(self) -> Iterator[Family]:
        """Ours, then those of the process."""
        yield from self._families
        yield from (one for one in _PROCESS.collect() if _standard(one))


def encode(families: Families, accept: str) -> tuple[bytes, str]:
    """The text in the format that the reader prefers (its header Accept), and its media type.
    Another media type than ours is answered with plain text. Blocking.
    """
    encoder, content_type = choose_encoder(accept)
    return encoder(families), content_type


def _numbers(metric: Metric, found: Mapping[Labels, float]) -> Family:
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        name = metric.name.removesuffix("_total")
        family = CounterMetricFamily(name, metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(found.items()):
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, found: Mapping[Labels, Durations]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
    for labels, one in sorted(found.items()):
        buckets = list(zip(bounds, map(float, accumulate(one.numbers)), strict=True))
        family.add_metric(labels, buckets, one.seconds)
    return family


def _standard(family: Family) -> bool:
    return f"{family.name}_total" in STANDARD or family.name in STANDARD

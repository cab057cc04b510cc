"""Figures as the text that Prometheus reads."""

from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from streams.metrics import names
from streams.metrics.exposition import Families, MetricValue, encode
from streams.metrics.meters import Meters

OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def read(
    text: bytes, parse: object = plain
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    assert callable(parse)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


def values() -> Iterator[MetricValue]:
    yield MetricValue(names.READY, True)
    yield MetricValue(names.LAG_EVENTS, 7, ("0",))
    yield MetricValue(names.LAG_EVENTS, 8, ("1",))
    yield MetricValue(names.TOP_BYTES, 3, ('campaign:a"\\\n',))


def meters() -> Meters:
    found = Meters()
    for seconds in (0.001, 0.005, 0.3, 99.0):
        found.observe(names.STEP_TIME, seconds, "ingest")
    found.count(names.REJECTS, "bad_time", by=3)
    found.count(names.REJECTS, "bad_time")
    found.put(names.CLOCK_SKEW, -0.25)
    return found


@pytest.mark.parametrize(("accept", "parse"), [("", plain), ("*/*", plain), (OPEN, openmetrics)])
def test_both_formats_have_the_same_figures(accept: str, parse: object) -> None:
    text, content_type = encode(Families.of(values(), meters()), accept)
    assert content_type.startswith("application/open" if parse is openmetrics else "text/plain")
    found = read(text, parse)
    assert found["emberline_ready", ()] == 1
    assert found["emberline_lag_events", (("shard", "1"),)] == 8
    assert found["emberline_rejects_total", (("code", "bad_time"),)] == 4
    assert found["emberline_clock_skew_seconds", ()] == -0.25
    assert found["emberline_top_source_bytes", (("source", 'campaign:a"\\\n'),)] == 3
    assert found["process_resident_memory_bytes", ()] > 1e6


def test_a_histogram_counts_up_to_each_bound() -> None:
    found = read(encode(Families.of((), meters()), "")[0])
    name = "emberline_step_duration_seconds"
    buckets = {
        dict(labels)["le"]: value
        for (one, labels), value in found.items()
        if one == f"{name}_bucket"
    }
    assert buckets["0.005"] == 2  # a bound is part of its bucket
    assert buckets["0.25"] == 2
    assert buckets["0.5"] == buckets["30.0"] == 3
    assert buckets["+Inf"] == found[f"{name}_count", (("work", "ingest"),)] == 4
    assert found[f"{name}_sum", (("work", "ingest"),)] == pytest.approx(99.306)


def test_what_is_not_measured_is_not_there() -> None:
    text = encode(Families.of((), Meters()), "")[0].decode()
    assert "emberline" not in text


def test_a_gauge_that_is_dropped_is_gone_and_a_label_has_bounded_values() -> None:
    found = Meters()
    found.put(names.NOTICES_PENDING, 1, "mail")
    found.drop(names.NOTICES_PENDING)
    for number in range(5_000):
        found.count(names.REJECTS, f"code {number}")
        found.observe(names.STEP_TIME, 1, f"work {number}")
        found.put(names.SOURCES, 1, f"state {number}")
    numbers = dict(found.numbers())
    assert names.NOTICES_PENDING not in {m for m, held in numbers.items() if held}
    assert {len(numbers[m]) for m in (names.REJECTS, names.SOURCES)} == {2_000}
    assert len(dict(found.durations())[names.STEP_TIME]) == 2_000

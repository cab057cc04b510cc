"""The names follow the conventions of Prometheus."""

import re

import pytest

from streams.metrics.names import ALL, LONG, SHORT, STANDARD, Metric

NAME = re.compile(r"emberline_[a-z]+(_[a-z]+)*")
AMOUNTS = (
    "_ms",
    "_milliseconds",
    "_minutes",
    "_kb",
    "_mb",
    "_percent",
    "_count",
    "_sum",
    "_bucket",
)


def test_every_name_is_there_once() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    assert not STANDARD.keys() & {one.name for one in ALL}


@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_a_name_has_a_base_unit_and_says_its_kind(metric: Metric) -> None:
    assert NAME.fullmatch(metric.name)
    assert not metric.name.endswith(AMOUNTS)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    if metric.kind == "histogram":
        assert metric.unit == "seconds"
        assert metric.bounds in (SHORT, LONG)
        assert list(metric.bounds) == sorted(set(metric.bounds))
    else:
        assert metric.bounds == ()
    for unit in ("seconds", "bytes"):
        assert (unit in metric.name.split("_")) == (metric.unit == unit)


@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_no_label_has_a_user_and_only_the_largest_sources_are_named(metric: Metric) -> None:
    labels = set(metric.labels)
    assert labels <= {
        *("shard", "actor", "code", "work", "state", "topic", "method", "route", "outcome"),
        *("channel", "version", "python", "polars", "source", "setting", "use"),
    }
    assert ("source" in labels) == metric.name.startswith("emberline_top_source_")


def test_help_is_one_sentence_without_its_full_stop() -> None:
    for metric in ALL:
        assert metric.help == metric.help.strip()
        assert not metric.help.endswith(".")
        assert "\n" not in metric.help

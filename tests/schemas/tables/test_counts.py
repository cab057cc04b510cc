"""Counts: one for every event that is not a repeat, by source, day and kind."""

from collections.abc import Mapping

import polars as pl

from schemas.tables.counts import (
    COUNT_SCHEMA,
    FEED_VIEWS,
    add_up,
    count,
    count_feed_views,
    feed_views_of,
)
from schemas.tables.interaction import SCHEMA

DAY = 86_400_000


def rows(*made: Mapping[str, object]) -> pl.DataFrame:
    base: dict[str, object] = {
        "source": "campaign:a",
        "user": "u",
        "kind": "received",
        "channel": "EMAIL",
        "step": None,
        "variation": "v",
        "detail": None,
        "first": 10 * DAY + 5,
        "last": 10 * DAY + 5,
    }
    return pl.DataFrame([{**base, **each} for each in made], schema=SCHEMA)


def tally(found: pl.DataFrame) -> pl.DataFrame:
    return add_up(count(found))


def test_events_count_by_day_kind_channel_step_and_variation() -> None:
    found = tally(
        rows(
            {},
            {"user": "other"},
            {"first": 11 * DAY},
            {"kind": "opened"},
            {"channel": "SMS"},
            {"variation": "w"},
            {"source": "canvas:b", "step": "s"},
        )
    )
    figures = found.select("source", "day", "kind", "channel", "step", "variation", "count").rows()
    assert sorted(figures, key=str) == sorted(
        [
            ("campaign:a", 10, "received", "EMAIL", None, "v", 2),
            ("campaign:a", 11, "received", "EMAIL", None, "v", 1),
            ("campaign:a", 10, "opened", "EMAIL", None, "v", 1),
            ("campaign:a", 10, "received", "SMS", None, "v", 1),
            ("campaign:a", 10, "received", "EMAIL", None, "w", 1),
            ("canvas:b", 10, "received", "EMAIL", "s", "v", 1),
        ],
        key=str,
    )


def test_an_alias_is_no_part_of_a_count_but_a_conversion_index_is() -> None:
    clicks = tally(rows(*({"kind": "clicked", "detail": alias} for alias in "ab")))
    assert clicks.select("detail", "count").rows() == [(None, 2)]
    conversions = tally(rows(*({"kind": "converted", "detail": index} for index in "01")))
    assert sorted(conversions.select("detail", "count").rows()) == [("0", 1), ("1", 1)]


def test_feed_views_count_by_user() -> None:
    found = count_feed_views(pl.Series(["u", "v", "u"]))
    assert found.schema == COUNT_SCHEMA
    assert sorted(found.select("source", "user", "count").rows()) == [
        (FEED_VIEWS, "u", 2),
        (FEED_VIEWS, "v", 1),
    ]


def test_feed_views_without_a_user_are_those_of_no_user() -> None:
    nobody = pl.lit(None, pl.String)
    counts = count_feed_views(pl.Series(["u", "v"]))
    left = pl.concat([counts.head(1).with_columns(user=nobody), count(rows({})), counts])
    assert sorted(feed_views_of(left).rows()) == [("u", 1), ("v", 1)]


def test_adding_up_parts_is_adding_up_the_whole() -> None:
    parts = [tally(rows({}, {"kind": "opened"})), tally(rows({}, {"channel": "SMS"}))]
    whole = tally(rows({}, {"kind": "opened"}, {}, {"channel": "SMS"}))
    key = ["source", "kind", "channel"]
    assert add_up(pl.concat(parts)).sort(key).equals(whole.sort(key))

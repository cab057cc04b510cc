"""Foreign values become our fields: the same for every type that may hold them."""

from typing import Any

import polars as pl
import pytest

from schemas.mapping.convert import converted, hashed, numbered
from schemas.mapping.rule import From, Hashed, TimeFormat
from schemas.records import registry

CHANNEL = pl.Enum(
    next(f for f in registry.raw("send")["fields"] if f["name"] == "channel")["type"]["symbols"]
)
NOON = 1_769_860_800_000  # 2026-01-31 12:00 UTC


def made(kind: pl.DataType, value: From, given: list[Any], dtype: Any = None) -> list[Any]:
    frame = pl.DataFrame({"c": pl.Series(given, dtype=dtype)})
    found = converted(kind, value, frame.schema)
    bad = pl.lit(value=False) if found.bad is None else found.bad
    rows = frame.select(found.value.alias("value"), bad.alias("bad"))
    return ["bad" if bad else value for value, bad in rows.iter_rows()]


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([NOON // 1000, None, NOON], pl.Int64),
        ([NOON / 1000, None, float(NOON)], pl.Float64),
        ([str(NOON // 1000), "", str(NOON)], pl.String),
        ([f"{NOON // 1000}.0", None, f"{NOON}.5"], pl.String),
    ],
)
def test_seconds_that_are_milliseconds_are_taken_as_such(given: list[Any], dtype: Any) -> None:
    value = From("c", time=TimeFormat(unit="s"))
    assert made(pl.Int64(), value, given, dtype) == [NOON, None, NOON]


def test_seconds_may_have_a_fraction() -> None:
    value = From("c", time=TimeFormat(unit="s"))
    assert made(pl.Int64(), value, [NOON / 1000 + 0.25, -0.5]) == [NOON + 250, -500]
    assert made(pl.Int64(), value, ["1.5", "soon", "1e300"]) == [1_500, "bad", "bad"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31 12:00", NOON),
        ("2026-01-31", NOON - 12 * 3_600_000),
        ("2026-01-31T12:00:00.123456789Z", NOON + 123),
        ("2026-01-31T12:00:00,5Z", NOON + 500),
        ("2026-01-31T13:30:00+01:30", NOON),
        ("2026-01-31T13:30:00+0130", NOON),
        ("2026-01-31T11:00:00-01", NOON),
        (" 2026-01-31T12:00:00Z ", NOON),
        ("2026-02-31T12:00:00Z", "bad"),
        ("2026-01-31T12", "bad"),
        ("31.01.2026", "bad"),
        ("2026-01-31T12:00:00 CET", "bad"),
    ],
)
def test_iso_times(text: str, moment: Any) -> None:
    value = From("c", time=TimeFormat(format="iso"))
    assert made(pl.Int64(), value, [text]) == [moment]


def test_an_iso_time_without_a_zone_is_of_the_zone_given() -> None:
    value = From("c", time=TimeFormat(format="iso", zone="Europe/Berlin"))
    texts = ["2026-01-31T13:00", "2026-01-31T12:00Z", "2026-03-29T02:30"]
    assert made(pl.Int64(), value, texts) == [NOON, NOON, "bad"]  # a clock skips the third


def test_numbers_become_texts_and_texts_become_channels() -> None:
    assert made(pl.String(), From("c"), [7, None]) == ["7", None]
    assert made(CHANNEL, From("c"), ["email", "Push", "fax", None]) == [
        "EMAIL",
        "PUSH",
        "bad",
        None,
    ]
    numbered_channel = From("c", values={"1": "EMAIL", "*": "OTHER"})
    assert made(CHANNEL, numbered_channel, [1, 2, None]) == ["EMAIL", "OTHER", None]
    nothing = From("c", absent=frozenset({"0"}))
    assert made(pl.String(), nothing, [0, 5]) == [None, "5"]
    assert made(pl.Boolean(), From("c"), [0, 1, 2]) == [False, True, "bad"]


def test_a_hash_of_columns_is_of_all_of_them() -> None:
    frame = pl.DataFrame({"a": ["ab", "a", None, "ab"], "b": ["c", "bc", "abc", "c"]})
    texts = frame.select(hashed(Hashed(("a", "b")), frame.schema, numbered)).to_series().to_list()
    assert texts[0] == texts[3]
    assert len(set(texts)) == 3

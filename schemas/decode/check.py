"""The rules for events beyond their schema, which give the reasons for `rejected`; over columns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import polars as pl

from schemas.records.times import EARLIEST, LATENESS, LATEST

__all__ = [
    "DEFAULT_LIMITS",
    "EARLIEST",
    "LATENESS",
    "LATEST",
    "RULED",
    "RecordLimits",
    "broken",
    "check",
]

_CONVERSIONS = 4
_SOURCES = {"campaign_id": "campaign", "canvas_id": "canvas"}
_KEY_KINDS = ("campaign", "canvas", "segment", "content_card")
_INDEX = "conversion_behavior_index"

Rule: TypeAlias = tuple[pl.Expr, str, pl.Expr]
"""What breaks it, the code, the detail."""


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """`max_field_bytes` limits every text field, `max_record_bytes` key and value together."""

    max_field_bytes: int = 512
    max_record_bytes: int = 900_000


DEFAULT_LIMITS = RecordLimits()


RULED = frozenset({"id", "user_id", "time", *_SOURCES, _INDEX})
"""The fields that the rules look at; not every event has all of them."""


def broken(columns: Mapping[str, pl.Expr], timestamp: pl.Expr) -> pl.Expr:
    """Whether an event breaks a rule. The rule for lengths of texts is not checked here.

    `columns` gives each field of the event, `timestamp` the broker's timestamp.
    """
    return _broken(_rules(columns, timestamp))


def check(
    frame: pl.DataFrame, texts: Collection[str], max_field_bytes: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into (good, bad); bad has `code` and `detail` besides the columns of `frame`.

    `frame` has the fields of `RULED` that the event has, and `timestamp`. `texts` are the fields
    whose length is checked.
    """
    rules, any_of_them = _checks(_INDEX in frame.columns, tuple(texts), max_field_bytes)
    wrong = frame.select(any_of_them).to_series()
    if not wrong.any():
        return frame, frame.clear()
    code: pl.Expr = pl.lit(None, pl.String)
    detail: pl.Expr = pl.lit(None, pl.String)
    for rule, name, text in reversed(rules):
        code = pl.when(rule).then(pl.lit(name)).otherwise(code)
        detail = pl.when(rule).then(text).otherwise(detail)
    bad = frame.filter(wrong).with_columns(code=code, detail=detail)
    return frame.filter(~wrong), bad


@lru_cache(maxsize=64)
def _checks(
    index: bool, texts: tuple[str, ...], max_field_bytes: int
) -> tuple[list[Rule], pl.Expr]:
    """All rules, and whether one is broken: to make them costs more than to check a few events."""
    columns = {name: pl.col(name) for name in RULED if index or name != _INDEX}
    rules = _rules(columns, pl.col("timestamp")) + _lengths(texts, max_field_bytes)
    return rules, _broken(rules)


def _broken(rules: Sequence[Rule]) -> pl.Expr:
    return pl.any_horizontal(*(rule for rule, _, _ in rules)).fill_null(False)


def _rules(columns: Mapping[str, pl.Expr], timestamp: pl.Expr) -> list[Rule]:
    """The rules, the most important first."""
    time = columns["time"]
    campaign, canvas = (columns[name] for name in _SOURCES)
    rules = [
        (columns[name] == "", "missing_field", pl.lit(f"{name} is empty"))
        for name in ("id", "user_id", *_SOURCES)
    ]
    for name, kind in _SOURCES.items():
        source = columns[name]
        rules.append((source == f"{kind}:", "missing_field", pl.lit(f"{name} names no {kind}")))
        others = "|".join(other for other in _KEY_KINDS if other != kind)
        foreign = source.str.contains(f"^(?:{others}):")
        detail = pl.format(f"{name} {{}} names no {kind}", source.str.slice(0, 80))
        rules.append((foreign, "undecodable", detail))
    rules.append(
        (
            campaign.is_not_null() & canvas.is_not_null(),
            "two_sources",
            pl.lit("campaign_id and canvas_id are both set"),
        )
    )
    # A negative timestamp is none at all.
    rules.append(
        (
            (time < EARLIEST)
            | (time > LATEST)
            | ((time > timestamp + LATENESS) & (timestamp >= 0)),
            "bad_time",
            pl.format("time {} at broker timestamp {}", time, timestamp),
        )
    )
    if _INDEX in columns:
        index = columns[_INDEX]
        rules.append(
            (
                (index < 0) | (index >= _CONVERSIONS),
                "undecodable",
                pl.format("conversion_behavior_index {} is not 0-3", index),
            )
        )
    return rules


def _lengths(texts: Collection[str], max_field_bytes: int) -> list[Rule]:
    sizes = {name: pl.col(name).str.len_bytes() for name in texts}
    return [
        (size > max_field_bytes, "too_long", pl.format(f"{name} has {{}} bytes", size))
        for name, size in sizes.items()
    ]

"""What an event must fulfil beyond its schema: the reasons for `rejected`, over columns."""

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

__all__ = ["DEFAULT_LIMITS", "EARLIEST", "LATENESS", "LATEST", "Limits", "check"]

EARLIEST = 946_684_800_000
"""2000-01-01 in milliseconds: an earlier time is a time in seconds."""
LATEST = 253_402_300_799_999
"""The end of the year 9999: no calendar has a later time."""
LATENESS = 86_400_000
"""How far, in milliseconds, an event's time may lie after its broker timestamp."""
_CONVERSIONS = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_field_bytes` bounds every text field, `max_record_bytes` key and value together."""

    max_field_bytes: int = 512
    max_record_bytes: int = 900_000


DEFAULT_LIMITS = Limits()


def check(
    frame: pl.DataFrame, texts: Collection[str], max_field_bytes: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into (good, bad); bad has `code` and `detail` beside the columns of `frame`.

    `frame` has the columns of an event that the rules name (`id`, `user_id`, `time`,
    `campaign_id`, `canvas_id` and, where the event has it, `conversion_behavior_index`) and
    `timestamp`. `texts` are the fields whose length is checked.
    """
    rules = _rules(frame.columns, texts, max_field_bytes)
    broken = pl.any_horizontal(*(rule for rule, _, _ in rules)).fill_null(False)
    if not frame.select(broken.any()).item():
        return frame, frame.clear()
    code: pl.Expr = pl.lit(None, pl.String)
    detail: pl.Expr = pl.lit(None, pl.String)
    for rule, name, text in reversed(rules):
        code = pl.when(rule).then(pl.lit(name)).otherwise(code)
        detail = pl.when(rule).then(text).otherwise(detail)
    bad = frame.filter(broken).with_columns(code=code, detail=detail)
    return frame.filter(~broken), bad


def _rules(
    columns: Collection[str], texts: Collection[str], max_field_bytes: int
) -> list[tuple[pl.Expr, str, pl.Expr]]:
    """(what breaks it, code, detail), the weightiest first."""
    time, timestamp = pl.col("time"), pl.col("timestamp")
    rules = [
        (pl.col(name) == "", "missing_field", pl.lit(f"{name} is empty"))
        for name in ("id", "user_id", "campaign_id", "canvas_id")
    ]
    rules.append(
        (
            pl.col("campaign_id").is_not_null() & pl.col("canvas_id").is_not_null(),
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
    if "conversion_behavior_index" in columns:
        index = pl.col("conversion_behavior_index")
        rules.append(
            (
                (index < 0) | (index >= _CONVERSIONS),
                "undecodable",
                pl.format("conversion_behavior_index {} is not 0-3", index),
            )
        )
    for name in texts:
        size = pl.col(name).str.len_bytes()
        rules.append(
            (size > max_field_bytes, "too_long", pl.format(f"{name} has {{}} bytes", size))
        )
    return rules

"""From events to interactions, and to the rows of the profile-wide table.

send        received
open        opened, or machine_opened
click       clicked, or bot_clicked; detail = link alias
variant     exited; else entered, and control beside it for users held out
conversion  converted; detail = index, null as 0
signal      none
"""

from collections.abc import Collection, Mapping

import polars as pl

from schemas.interaction import CHANNELS, COLUMNS, KINDS, SCHEMA

__all__ = ["FIELDS", "PROFILE_KEY", "PROFILE_KINDS", "PROFILE_SCHEMA", "interactions"]
__all__ += ["profile_rows"]

_SOURCE = ("campaign_id", "canvas_id", "canvas_step_id")
_VARIATION = ("message_variation_id", "canvas_variation_id")
FIELDS: Mapping[str, Collection[str]] = {
    "send": ("user_id", "time", *_SOURCE, *_VARIATION, "channel"),
    "open": ("user_id", "time", *_SOURCE, *_VARIATION, "channel", "machine_open"),
    "click": (
        *("user_id", "time", *_SOURCE, *_VARIATION, "channel"),
        *("link_alias", "is_suspected_bot_click"),
    ),
    "variant": ("user_id", "time", *_SOURCE, *_VARIATION, "in_control_group", "exited"),
    "conversion": ("user_id", "time", *_SOURCE, *_VARIATION, "conversion_behavior_index"),
    "signal": ("user_id", "time", *_SOURCE[:2], "signal_type", "value", "cleared"),
}
"""The fields of each event that the projections read."""

PROFILE_KINDS = KINDS
"""The kinds of interactions, then the signals."""
_PROFILE_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "user": pl.String,
    "kind": pl.Enum(PROFILE_KINDS),
    "channel": pl.Enum(CHANNELS),
    "origin": pl.Enum(("campaign", "canvas")),
    "detail": pl.String,
    "cleared": pl.Boolean,
    "first": pl.Int64,
    "last": pl.Int64,
}
PROFILE_SCHEMA = pl.Schema(_PROFILE_TYPES)
"""A row of the profile-wide table: what happened to a user, whatever the source.

`origin` says what kind of source the event had, if any. `detail` is a click's alias, a
conversion's index, a signal's value. `cleared` is false but for signals that say that a fact
no longer holds: a fact holds while the last `cleared = false` is later than the last
`cleared = true` of the same kind and detail. `first` and `last` are milliseconds; folding is
by `PROFILE_KEY`, `min(first)`, `max(last)`.
"""
PROFILE_KEY = ("user", "kind", "channel", "origin", "detail", "cleared")


def interactions(event: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The interactions of events that have a source, in `interaction.SCHEMA`, not folded.

    `frame` has at least `FIELDS[event]`. A variant event of a user held out makes two rows.
    """
    if event == "signal":
        return pl.DataFrame(schema=SCHEMA)
    campaign, canvas = pl.col("campaign_id"), pl.col("canvas_id")
    sourced = frame.select(
        pl.any_horizontal(campaign.is_not_null(), canvas.is_not_null()).alias("sourced")
    )["sourced"]
    if not sourced.all():
        frame = frame.filter(sourced)
    message, variation = pl.col("message_variation_id"), pl.col("canvas_variation_id")
    rows = frame.select(
        pl.coalesce("campaign:" + campaign, "canvas:" + canvas).alias("source"),
        pl.col("user_id").alias("user"),
        _kind(event, SCHEMA["kind"]),
        _channel(event),
        pl.col("canvas_step_id").alias("step"),
        pl.when(campaign.is_not_null())
        .then(message)
        .otherwise(pl.coalesce(variation, message))
        .alias("variation"),
        _detail(event),
        pl.col("time").alias("first"),
        pl.col("time").alias("last"),
    )
    if event == "variant":
        rows = pl.concat([rows, _held_out(rows, frame)])
    return rows.select(COLUMNS)


def profile_rows(event: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The profile-wide rows of events with a source or without, in `PROFILE_SCHEMA`, not folded.

    `frame` has at least `FIELDS[event]`, `campaign_id` and `canvas_id`.
    """
    origin = (
        pl.when(pl.col("campaign_id").is_not_null())
        .then(pl.lit("campaign"))
        .when(pl.col("canvas_id").is_not_null())
        .then(pl.lit("canvas"))
        .cast(PROFILE_SCHEMA["origin"])
    )
    signal = event == "signal"
    rows = frame.select(
        pl.col("user_id").alias("user"),
        _kind(event, PROFILE_SCHEMA["kind"]),
        _channel(event),
        origin.alias("origin"),
        pl.col("value").alias("detail") if signal else _detail(event),
        pl.col("cleared").fill_null(False) if signal else pl.lit(False).alias("cleared"),
        pl.col("time").alias("first"),
        pl.col("time").alias("last"),
    )
    if event == "variant":
        rows = pl.concat([rows, _held_out(rows, frame)])
    return rows


def _kind(event: str, kinds: pl.DataType) -> pl.Expr:
    def kind(name: str) -> pl.Expr:
        return pl.lit(name, kinds)

    if event == "send":
        expression = kind("received")
    elif event == "open":
        expression = pl.when("machine_open").then(kind("machine_opened")).otherwise(kind("opened"))
    elif event == "click":
        bot = pl.when("is_suspected_bot_click")
        expression = bot.then(kind("bot_clicked")).otherwise(kind("clicked"))
    elif event == "variant":
        expression = pl.when("exited").then(kind("exited")).otherwise(kind("entered"))
    elif event == "conversion":
        expression = kind("converted")
    else:
        expression = pl.col("signal_type").cast(pl.String).str.to_lowercase().cast(kinds)
    return expression.alias("kind")


def _channel(event: str) -> pl.Expr:
    if event in ("send", "open", "click"):
        return pl.col("channel")
    return pl.lit(None, SCHEMA["channel"]).alias("channel")


def _detail(event: str) -> pl.Expr:
    if event == "click":
        detail = pl.col("link_alias")
    elif event == "conversion":
        detail = pl.col("conversion_behavior_index").fill_null(0).cast(pl.String)
    else:
        detail = pl.lit(None, pl.String)
    return detail.alias("detail")


def _held_out(rows: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    held_out = frame.select(
        (pl.col("in_control_group") & ~pl.col("exited").fill_null(False)).fill_null(False)
    ).to_series()
    return rows.filter(held_out).with_columns(pl.lit("control", rows["kind"].dtype).alias("kind"))

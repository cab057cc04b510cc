"""Turns events into rows: interactions of their source, or rows of the profile-wide table.

send        received
open        opened, or machine_opened
click       clicked, or bot_clicked; detail = link alias
variant     exited; else entered, and an additional row control for users held out
conversion  converted; detail = index, null as 0
signal      profile-wide only: kind = its type, detail = its value

`campaign_id` may also be `campaign:ID`, `canvas_id` also `canvas:ID`.

An event without a source becomes a row of `PROFILE`, packed as in schemas.tables.profile.
"""

from collections.abc import Callable, Collection, Mapping

import polars as pl

from schemas.tables.interaction import CHANNELS, COLUMNS, KINDS
from schemas.tables.profile import CLEARED, PROFILE
from schemas.tables.view import Field, Projection

__all__ = ["FIELDS", "VIEWS", "with_control"]

_USER = ("user_id", "external_user_id")
_SOURCE = ("campaign_id", "canvas_id", "canvas_step_id")
_VARIATION = ("message_variation_id", "canvas_variation_id")
FIELDS: Mapping[str, Collection[str]] = {
    "send": (*_USER, "time", *_SOURCE, *_VARIATION, "channel"),
    "open": (*_USER, "time", *_SOURCE, *_VARIATION, "channel", "machine_open"),
    "click": (
        *(*_USER, "time", *_SOURCE, *_VARIATION, "channel"),
        *("link_alias", "is_suspected_bot_click"),
    ),
    "variant": (*_USER, "time", *_SOURCE, *_VARIATION, "in_control_group", "exited"),
    "conversion": (*_USER, "time", *_SOURCE, *_VARIATION, "conversion_behavior_index"),
    "signal": (*_USER, "time", *_SOURCE[:2], "signal_type", "value", "cleared"),
}
"""The fields of each event that the projections read."""

_KIND = pl.Enum(KINDS)
_NO_TEXT = pl.lit(None, pl.String)


def with_control(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a view of `VIEWS`, with an additional row of kind `control` for each user held
    out.
    """
    if not rows["held_out"].any():
        return rows
    more = rows.filter("held_out").with_columns(pl.lit("control", _KIND).alias("kind"))
    return pl.concat([rows, more])


def _rows(event: str) -> Callable[[Field], list[pl.Expr]]:
    """The columns of `interaction.SCHEMA`, then `id`, `held_out` and `external`."""

    def build(field: Field) -> list[pl.Expr]:
        columns = _of_signal(field) if event == "signal" else _of_message(event, field)
        columns |= {"user": field("user_id"), "kind": _kind(event, field)}
        columns |= {"first": field("time"), "last": field("time")}
        held_out = _held_out(field) if event == "variant" else pl.lit(False)
        rows = [columns[name].alias(name) for name in COLUMNS]
        named = field("external_user_id").alias("external")
        return [*rows, field("id").alias("id"), held_out.alias("held_out"), named]

    return build


def _of_message(event: str, field: Field) -> dict[str, pl.Expr]:
    campaign, canvas = field("campaign_id"), field("canvas_id")
    of_campaign, of_canvas = campaign.is_not_null(), canvas.is_not_null()
    message, variation = field("message_variation_id"), field("canvas_variation_id")
    with_channel = event in ("send", "open", "click")
    return {
        "source": pl.coalesce(
            _source("campaign:", campaign), _source("canvas:", canvas), pl.lit(PROFILE)
        ),
        "channel": field("channel") if with_channel else pl.lit(None, pl.Enum(CHANNELS)),
        "step": pl.when(of_campaign | of_canvas).then(field("canvas_step_id")),
        "variation": pl.when(of_campaign).then(message).when(of_canvas).then(variation),
        "detail": _detail(event, field),
    }


def _source(kind: str, name: pl.Expr) -> pl.Expr:
    """Producers may write the whole source in place of its id, as filters and commands do."""
    return pl.lit(kind) + name.str.strip_prefix(kind)


def _of_signal(field: Field) -> dict[str, pl.Expr]:
    of_campaign, of_canvas = (field(name).is_not_null() for name in ("campaign_id", "canvas_id"))
    return {
        "source": pl.lit(PROFILE),
        "channel": pl.lit(None, pl.Enum(CHANNELS)),
        "step": pl.when(of_campaign)
        .then(pl.lit("campaign"))
        .when(of_canvas)
        .then(pl.lit("canvas")),
        "variation": pl.when(field("cleared")).then(pl.lit(CLEARED)),
        "detail": field("value"),
    }


def _kind(event: str, field: Field) -> pl.Expr:
    def kind(name: str) -> pl.Expr:
        return pl.lit(name, _KIND)

    if event == "send":
        return kind("received")
    if event == "open":
        return pl.when(field("machine_open")).then(kind("machine_opened")).otherwise(kind("opened"))
    if event == "click":
        bot = pl.when(field("is_suspected_bot_click"))
        return bot.then(kind("bot_clicked")).otherwise(kind("clicked"))
    if event == "variant":
        return pl.when(field("exited")).then(kind("exited")).otherwise(kind("entered"))
    if event == "conversion":
        return kind("converted")
    return field("signal_type").cast(pl.String).str.to_lowercase().cast(_KIND)


def _detail(event: str, field: Field) -> pl.Expr:
    if event == "click":
        return field("link_alias")
    if event == "conversion":
        return field("conversion_behavior_index").fill_null(0).cast(pl.String)
    return _NO_TEXT


def _held_out(field: Field) -> pl.Expr:
    return (field("in_control_group") & ~field("exited").fill_null(False)).fill_null(False)


VIEWS: Mapping[str, Projection] = {
    event: Projection(frozenset({"id", *fields}), _rows(event)) for event, fields in FIELDS.items()
}
"""For each event, what becomes of it: the columns of `interaction.SCHEMA`, `id`, whether
the user is `held_out`, and the `external` id. Not folded.
"""

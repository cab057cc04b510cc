"""User Data of one source as CSV: Braze's columns first, then ours.

Braze documents the columns of a segment's User Data, and three more for the recipients of a
campaign: name and id of the variation, and whether the user is in the control group. Columns
without data in this service are present and empty, so programs that read columns by name continue
to work. Columns have no fixed positions: Braze adds some in between. Our columns begin with
`emberline_`.
"""

import json

import polars as pl

from agents.users.entry import NAMING, RECEIPTS
from agents.users.names import Names
from schemas.tables.roster import aliases_of

__all__ = ["BRAZE_COLUMNS", "COLUMNS", "OUR_COLUMNS", "harmless", "header", "lines"]

BRAZE_COLUMNS = (
    *("Appboy ID", "country", "created_at", "created_from", "devices", "date_of_birth", "email"),
    *("unsubscribed_from_emails_at", "user_id", "first_name", "first_session", "gender"),
    *("google_ad_ids", "city", "IDFAs", "IDFVs", "language", "last_app_version_used"),
    *("last_name", "last_session", "number_of_google_ad_ids", "number_of_IDFAs"),
    *("number_of_IDFVs", "number_of_push_tokens", "number_of_roku_ad_ids"),
    *("number_of_windows_ad_ids", "phone_number", "opted_into_push_at"),
    *("unsubscribed_from_push_at", "random_bucket", "roku_ad_ids", "session_count", "timezone"),
    *("in_app_purchase_total", "user_aliases", "windows_ad_ids"),
    *("variation_name", "variation_api_id", "in_control"),
)
OUR_COLUMNS = (
    *("emberline_source", "emberline_first_received", "emberline_last_received"),
    *("emberline_channels", "emberline_steps_received", "emberline_last_opened"),
    *("emberline_last_machine_opened", "emberline_last_clicked", "emberline_last_bot_clicked"),
    *("emberline_converted", "emberline_last_converted", "emberline_last_entered"),
    "emberline_last_exited",
)
COLUMNS = (*BRAZE_COLUMNS, *OUR_COLUMNS)
#: The last four are wide forms of the first: some keyboards, and some spreadsheets, take them.
_FORMULA = r"^[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
_LASTS = ("opened", "machine_opened", "clicked", "bot_clicked", "converted", "entered", "exited")


def header() -> bytes:
    """The first line."""
    return (",".join(COLUMNS) + "\n").encode()


def lines(
    rows: pl.DataFrame, roster: pl.DataFrame, source: str, names: Names, *, safe: bool = False
) -> tuple[bytes, int]:
    """A line for each receiver, in the order of user ids; and the number of lines.

    With `safe`, a cell that a spreadsheet would read as a formula begins with an apostrophe. `rows`
    are folded rows of `source`, with all rows of each of their users. `roster` has the last roster
    row of each of those users, if there is one; deleted users get no line. Receivers are
    those of `agents.users.entry.RECEIPTS`.
    """
    gone = roster.filter("deleted")
    kept = _by_user(rows.join(gone.select("user"), on="user", how="anti"), source)
    kept = kept.join(roster.select("user", "external", "aliases"), on="user", how="left")
    variations = {each: names.variation(source, each) for each in _values(kept["variation"])}
    aliases = {each: _aliases(each) for each in _values(kept["aliases"])}
    found = kept.sort("user").with_columns(
        pl.col("user").alias("Appboy ID"),
        pl.col("external").alias("user_id"),
        _named(pl.col("aliases"), aliases).alias("user_aliases"),
        _named(pl.col("variation"), variations).alias("variation_name"),
        pl.col("variation").alias("variation_api_id"),
        pl.lit(source).alias("emberline_source"),
    )
    absent = [pl.lit(None, pl.String).alias(each) for each in COLUMNS if each not in found.columns]
    cells = found.with_columns(absent).select(COLUMNS)
    if safe:
        texts = [name for name, kind in cells.schema.items() if kind == pl.String]
        cells = cells.with_columns(harmless(pl.col(name)).alias(name) for name in texts)
    return cells.write_csv(include_header=False).encode(), cells.height


def harmless(text: pl.Expr) -> pl.Expr:
    """Spreadsheets evaluate a cell that begins so, and show text after an apostrophe unchanged."""
    return pl.when(text.str.contains(_FORMULA)).then(pl.lit("'") + text).otherwise(text)


def _by_user(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    campaign = source.startswith("campaign:")
    kind, last = pl.col("kind"), pl.col("last")
    variation = pl.col("variation")
    named = variation.is_not_null()
    rank = (kind.is_in(NAMING), last, variation)
    lasts = {name: last.filter(kind == name).max() for name in _LASTS}
    converted, received = lasts["converted"], last.filter(kind == "received").max()
    counts = converted.is_not_null() & ~(kind == "control").any()
    if campaign:
        counts = counts & (converted >= received).fill_null(True)
    grouped = rows.group_by("user").agg(
        variation.filter(named).sort_by(*(each.filter(named) for each in rank)).last(),
        (kind == "control").any().alias("in_control"),
        _iso(pl.col("first").filter(kind == "received").min()).alias("emberline_first_received"),
        _iso(received).alias("emberline_last_received"),
        _joined(pl.col("channel").filter(kind == "received")).alias("emberline_channels"),
        _joined(pl.col("step").filter(kind == "received")).alias("emberline_steps_received"),
        counts.alias("emberline_converted"),
        kind.is_in(RECEIPTS[source.partition(":")[0]]).any().alias("receiver"),
        *(_iso(at).alias(f"emberline_last_{name}") for name, at in lasts.items()),
    )
    return grouped.filter("receiver")


def _iso(ms: pl.Expr) -> pl.Expr:
    return pl.from_epoch(ms, time_unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")


def _joined(values: pl.Expr) -> pl.Expr:
    return values.cast(pl.String).drop_nulls().unique().sort().str.join(" ")


def _named(values: pl.Expr, names: dict[str, str]) -> pl.Expr:
    return values.replace_strict(names, default=None, return_dtype=pl.String)


def _values(series: pl.Series) -> list[str]:
    return series.drop_nulls().unique().to_list()


def _aliases(text: str) -> str:
    found = aliases_of(text)
    return json.dumps([{"alias_name": each.name, "alias_label": each.label} for each in found])

"""The profile-wide table: the interactions of a user with all sources, kept for ever.

It is stored in the hot table under a name that no source has, so deltas, segments, merge and
recovery are the same; it never expires. A row packs `PROFILE_SCHEMA` into `interaction.SCHEMA`:
step holds the origin (campaign or canvas), variation the word `cleared` if a signal says that a
fact no longer holds.

Rows of events with a source are not written twice: the flush derives them from the source's rows
(`wide`), and a reader of deltas does the same.
"""

import polars as pl

from schemas.tables.fold import fold
from schemas.tables.interaction import CHANNELS, KINDS

__all__ = ["CLEARED", "PROFILE", "PROFILE_KEY", "PROFILE_SCHEMA", "unpack", "wide"]

PROFILE = "@"
"""The name under which profile-wide rows are kept; sources have a colon in theirs."""
CLEARED = "cleared"

_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "user": pl.String,
    "kind": pl.Enum(KINDS),
    "channel": pl.Enum(CHANNELS),
    "origin": pl.Enum(("campaign", "canvas")),
    "detail": pl.String,
    "cleared": pl.Boolean,
    "first": pl.Int64,
    "last": pl.Int64,
}
PROFILE_SCHEMA = pl.Schema(_TYPES)
"""A row of the profile-wide table: what happened to a user, whatever the source.

`origin` says what kind of source the event had, if any. `detail` is a click's alias, a
conversion's index, a signal's value. `cleared` is false but for signals that say that a fact
no longer holds: a fact holds while the last `cleared = false` is later than the last
`cleared = true` of the same kind and detail. `first` and `last` are milliseconds; folding is
by `PROFILE_KEY`, `min(first)`, `max(last)`.
"""
PROFILE_KEY = ("user", "kind", "channel", "origin", "detail", "cleared")


def wide(rows: pl.DataFrame) -> pl.DataFrame:
    """The profile-wide rows of interactions, folded; rows of `PROFILE` itself pass through."""
    return fold(
        pl.concat(
            [
                rows.filter(pl.col("source") == PROFILE),
                rows.lazy()
                .filter(pl.col("source") != PROFILE)
                .select(
                    pl.lit(PROFILE).alias("source"),
                    "user",
                    "kind",
                    "channel",
                    pl.when(pl.col("source").str.starts_with("canvas:"))
                    .then(pl.lit("canvas"))
                    .otherwise(pl.lit("campaign"))
                    .alias("step"),
                    pl.lit(None, pl.String).alias("variation"),
                    "detail",
                    "first",
                    "last",
                )
                .collect(),
            ]
        )
    )


def unpack(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `PROFILE` as rows in `PROFILE_SCHEMA`."""
    return rows.select(
        "user",
        pl.col("kind").cast(PROFILE_SCHEMA["kind"]),
        "channel",
        pl.col("step").cast(PROFILE_SCHEMA["origin"]).alias("origin"),
        "detail",
        pl.col("variation").is_not_null().alias("cleared"),
        "first",
        "last",
    )

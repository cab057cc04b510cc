"""Counts: the additive table, which no expiry changes.

A count is not a join: the same event twice would count twice. So counts are written in the same
step as the cursor, and an event whose id was seen recently is not counted again
(`schemas.tables.repeats`). The fold of this table groups by the key and sums.
"""

import polars as pl

from schemas.tables.interaction import CHANNELS, KINDS

__all__ = [
    "COUNT_KEY",
    "COUNT_SCHEMA",
    "FEED_VIEWS",
    "add_up",
    "count",
    "count_feed_views",
    "feed_views_of",
]

FEED_VIEWS = "@feed"
"""The pseudo-source under which feed views are counted, by user."""

COUNT_KEY = ("source", "user", "day", "kind", "channel", "step", "variation", "detail")
_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "user": pl.String,
    "day": pl.Int32,
    "kind": pl.Enum(KINDS),
    "channel": pl.Enum(CHANNELS),
    "step": pl.String,
    "variation": pl.String,
    "detail": pl.String,
    "count": pl.Int64,
}
COUNT_SCHEMA = pl.Schema(_TYPES)
"""`day` is days since 1970-01-01 in UTC of the event's own time; `user` is set for feed views
only, and `detail` for conversions (their index) only."""

_DAY_MS = 86_400_000

_COUNT = [
    pl.col("source"),
    pl.lit(None, pl.String).alias("user"),
    (pl.col("first") // _DAY_MS).cast(pl.Int32).alias("day"),
    pl.col("kind", "channel", "step", "variation"),
    pl.when(pl.col("kind") == "converted").then("detail").alias("detail"),
    pl.lit(1, pl.Int64).alias("count"),
]
_COUNT_VIEWS = [
    pl.lit(FEED_VIEWS).alias("source"),
    pl.col("user"),
    *(
        pl.lit(None, COUNT_SCHEMA[name]).alias(name)
        for name in ("day", "kind", "channel", "step", "variation", "detail")
    ),
    pl.col("count").cast(pl.Int64),
]


def count(rows: pl.DataFrame) -> pl.DataFrame:
    """Counts of interactions of events that were not counted before; not summed.

    Takes rows in `interaction.SCHEMA` whose `first` is the event's time.
    """
    return rows.select(_COUNT)


def count_feed_views(users: pl.Series) -> pl.DataFrame:
    """Counts of feed views, from the user of each view: one row for each user."""
    views = pl.DataFrame({"user": users.cast(pl.String)}).group_by("user").len("count")
    return views.select(_COUNT_VIEWS)


def feed_views_of(counts: pl.DataFrame) -> pl.DataFrame:
    """`user` and `count` of feed views; not of those that an erasure has left without a user."""
    views = (pl.col("source") == FEED_VIEWS) & pl.col("user").is_not_null()
    return counts.filter(views).select("user", "count")


def add_up(frame: pl.DataFrame) -> pl.DataFrame:
    """The sums of counts with the same key, sorted by source and user."""
    return (
        frame.group_by(COUNT_KEY)
        .agg(pl.col("count").sum())
        .select(COUNT_SCHEMA.names())
        .sort("source", "user", nulls_last=True)
    )

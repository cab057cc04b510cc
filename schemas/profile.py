"""The profile-wide table: what happened to a user, whatever the source, for ever.

It lives in the hot table beside the sources, under a name that no source has, so that deltas,
segments, merge and recovery are the same; nothing expires it. A row packs
`projection.PROFILE_SCHEMA` into `interaction.SCHEMA`: step holds the origin (campaign or
canvas), variation the word `cleared` where a signal says that a fact no longer holds.

Rows of events with a source are not written twice: the flush makes them from the source's
rows (`wide`), and a reader of deltas does the same.
"""

import polars as pl

from schemas.fold import fold
from schemas.interaction import COLUMNS, SCHEMA
from schemas.projection import PROFILE_SCHEMA, profile_rows

__all__ = ["PROFILE", "pack", "sourceless", "unpack", "wide"]

PROFILE = "@"
"""The name under which profile-wide rows are kept; sources have a colon in theirs."""

_CLEARED = "cleared"


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


def sourceless(event: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of `PROFILE` for the events that have no source, not folded."""
    if event != "signal":
        bare = frame["campaign_id"].is_null() & frame["canvas_id"].is_null()
        if not bare.any():
            return pl.DataFrame(schema=SCHEMA)
        frame = frame.filter(bare)
    return pack(profile_rows(event, frame)) if frame.height else pl.DataFrame(schema=SCHEMA)


def pack(profile: pl.DataFrame) -> pl.DataFrame:
    """Rows in `PROFILE_SCHEMA` as rows of `PROFILE` in `interaction.SCHEMA`."""
    return profile.select(
        pl.lit(PROFILE).alias("source"),
        "user",
        pl.col("kind").cast(SCHEMA["kind"]),
        "channel",
        pl.col("origin").cast(pl.String).alias("step"),
        pl.when("cleared").then(pl.lit(_CLEARED)).alias("variation"),
        "detail",
        "first",
        "last",
    ).select(COLUMNS)


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

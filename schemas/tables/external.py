"""External ids of users, from their events.

    user, external, time (of the latest event with this id, UTC milliseconds)

A record of the users topic always takes precedence: see `as_roster`.
"""

from dataclasses import dataclass, field

import polars as pl

from schemas.tables.repeats import Window
from schemas.tables.roster import ROSTER_SCHEMA

__all__ = ["EXTERNAL_SCHEMA", "Said", "as_roster", "last_said"]

EXTERNAL_SCHEMA = pl.Schema({"user": pl.String, "external": pl.String, "time": pl.Int64})
_REMEMBERED = 1_000_000
_DAY_MS = 86_400_000
_BEFORE_ALL = -(1 << 62)
"""Sequences of the users topic begin at 0; those of events end far below."""


def last_said(frame: pl.DataFrame) -> pl.DataFrame:
    """The row with the latest time of each user, sorted by user; the input may have any order."""
    return (
        frame.sort("time", "external")
        .group_by("user")
        .agg(pl.all().last())
        .select(EXTERNAL_SCHEMA.names())
        .sort("user")
    )


def as_roster(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of the roster; any row of the users topic takes precedence over them."""
    return frame.select(
        "user",
        "external",
        pl.lit(None, pl.String).alias("aliases"),
        pl.lit(None, pl.String).alias("merged_into"),
        pl.lit(False).alias("deleted"),
        (pl.col("time") + _BEFORE_ALL).alias("sequence"),
    ).cast(ROSTER_SCHEMA)


@dataclass
class Said:
    """Passes on new external ids: each pair of user and external id once for each day of the
    events.

    It remembers the last million pairs; a forgotten pair is passed on again, which changes nothing.
    """

    _window: Window = field(default_factory=lambda: Window(_REMEMBERED))

    def news(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows in `EXTERNAL_SCHEMA` from events with `user`, `external` and `first`, the event's
        time.
        """
        named = rows["external"]
        if named.null_count() == len(named):
            return pl.DataFrame(schema=EXTERNAL_SCHEMA)
        given = rows.select("user", "external", time="first").filter(pl.col("external") != "")
        # within this process only: so the hashes of Polars will do
        day = pl.col("time") // _DAY_MS
        mark = pl.col("user").hash() ^ pl.col("external").hash(1) ^ day.hash(2)
        marked = given.with_columns(mark=mark).filter(pl.col("mark").is_last_distinct())
        fresh = self._window.fresh(marked["mark"])
        found = marked.filter(fresh)
        self._window.add(found["mark"])
        return last_said(found.drop("mark"))

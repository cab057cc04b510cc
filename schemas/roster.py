"""The roster: what producers say of users, the last word winning.

    user, external, aliases (JSON list), merged_into, deleted, sequence

`sequence` grows with every record a shard takes in, so the fold by the highest one does not
depend on the order in which parts are merged.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

__all__ = ["ROSTER_SCHEMA", "latest", "roster_rows"]

ROSTER_SCHEMA = pl.Schema(
    {
        "user": pl.String,
        "external": pl.String,
        "aliases": pl.String,
        "merged_into": pl.String,
        "deleted": pl.Boolean,
        "sequence": pl.Int64,
    }
)


def roster_rows(
    users: Iterable[tuple[str, Mapping[str, Any] | None]], sequence: int
) -> pl.DataFrame:
    """Rows for user records `(user id, record or None for a deletion)`, numbered in order."""
    rows = [
        {
            "user": user,
            "external": None if record is None else record.get("external_user_id"),
            "aliases": None
            if record is None or not record.get("aliases")
            else json.dumps(list(record["aliases"])),
            "merged_into": None if record is None else record.get("merged_into"),
            "deleted": record is None,
            "sequence": sequence + number,
        }
        for number, (user, record) in enumerate(users)
    ]
    return pl.DataFrame(rows, schema=ROSTER_SCHEMA)


def latest(frame: pl.DataFrame) -> pl.DataFrame:
    """The last row of each user, sorted by user."""
    return (
        frame.sort("sequence")
        .group_by("user")
        .agg(pl.all().last())
        .select(ROSTER_SCHEMA.names())
        .sort("user")
    )

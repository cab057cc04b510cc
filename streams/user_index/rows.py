"""Interactions of some users as tuples: fold and profile-wide rows, for few rows.

A user in a request has a few dozen rows, and one expression over a frame costs as much as hundreds
of rows. Tests check that the results equal those of `fold` and `wide`.
"""

from collections.abc import Iterable, Sequence

import polars as pl

from schemas.tables.interaction import SCHEMA, empty
from schemas.tables.profile import PROFILE

__all__ = ["Row", "folded", "frame_of", "widened"]

Text = str | None
Row = tuple[str, str, str, Text, Text, Text, Text, int, int]
"""The columns of `interaction.SCHEMA`, in their order."""


def folded(rows: Iterable[Row]) -> list[Row]:
    """One row for each key: the earliest `first`, the latest `last`. Sorted by user and source."""
    found: dict[tuple[str | None, ...], Row] = {}
    for row in rows:
        key = row[:7]
        other = found.get(key)
        if other is not None:
            row = (*row[:7], min(other[7], row[7]), max(other[8], row[8]))
        found[key] = row
    return sorted(found.values(), key=_user_and_source)


def _user_and_source(row: Row) -> tuple[str, str]:
    return row[1], row[0]


def widened(rows: Iterable[Row]) -> list[Row]:
    """The profile-wide rows of interactions, as `tables.profile.wide` makes them; not folded."""
    return [
        (
            PROFILE,
            user,
            kind,
            channel,
            "canvas" if source.startswith("canvas:") else "campaign",
            None,
            detail,
            first,
            last,
        )
        for source, user, kind, channel, _, _, detail, first, last in rows
        if source != PROFILE
    ]


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    """The rows as a frame in `interaction.SCHEMA`."""
    if not rows:
        return empty()
    columns = zip(*rows, strict=True)
    return pl.DataFrame(
        [
            pl.Series(name, values, dtype)
            for (name, dtype), values in zip(SCHEMA.items(), columns, strict=True)
        ]
    )

"""The fold: the one expression that aggregates interactions of any origin."""

import polars as pl

from schemas.tables.interaction import COLUMNS, KEY

__all__ = ["fold"]


def fold(frame: pl.DataFrame) -> pl.DataFrame:
    """Merge the rows of `frame` that share a key: the earliest `first`, the latest `last`.

    Idempotent, commutative and associative, so order of arrival and repeated delivery do not change
    the result. Takes and returns frames in `interaction.SCHEMA`; the order of the resulting rows is
    not defined.
    """
    return frame.group_by(KEY).agg(pl.col("first").min(), pl.col("last").max()).select(COLUMNS)

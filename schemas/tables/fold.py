"""The fold: the one expression that adds interactions, whatever they come from."""

import polars as pl

from schemas.tables.interaction import COLUMNS, KEY

__all__ = ["fold"]


def fold(frame: pl.DataFrame) -> pl.DataFrame:
    """Merge the rows of `frame` that share a key: the earliest `first`, the latest `last`.

    Idempotent, commutative and associative, so the order of arrival and repeated delivery
    change nothing. Takes and returns frames in `interaction.SCHEMA`; the order of the rows
    of the result is not defined.
    """
    return frame.group_by(KEY).agg(pl.col("first").min(), pl.col("last").max()).select(COLUMNS)

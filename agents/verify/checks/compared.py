"""Rows that are wanted beside rows that are there, key by key."""

import polars as pl

from schemas.tables.fold import fold
from schemas.tables.interaction import KEY, SCHEMA

__all__ = ["compared"]


def compared(
    wanted: pl.DataFrame | None, there: pl.DataFrame | None, sure: str, name: str
) -> pl.DataFrame:
    """One row for each key of either side. None stands for no rows.

    `wanted` is in `interaction.SCHEMA` with the additional column `sure` (Boolean): `first` and
    `last` are those of all of its rows of a key, `first_SURE` and `last_SURE` those of the rows in
    which it is true. `there` is in `interaction.SCHEMA`: folded, it gives `first_NAME` and
    `last_NAME`. What one side has not is null.
    """
    if wanted is None:
        wanted = pl.DataFrame(schema={**SCHEMA, sure: pl.Boolean()})
    ours = wanted.group_by(KEY).agg(
        pl.col("first").min(),
        pl.col("last").max(),
        pl.col("first").filter(sure).min().alias(f"first_{sure}"),
        pl.col("last").filter(sure).max().alias(f"last_{sure}"),
    )
    rows = fold(pl.DataFrame(schema=SCHEMA) if there is None else there)
    rows = rows.rename({"first": f"first_{name}", "last": f"last_{name}"})
    return ours.join(rows, on=list(KEY), how="full", nulls_equal=True, coalesce=True)

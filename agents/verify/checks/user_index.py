"""A local index by user against the hot segments of its shard.

The index has the rows of every segment that it covers. It may have more: rows of segments that were
replaced since, and rows of sources that have left the hot table.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl

from agents.verify.checks.compared import compared
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from schemas.tables.interaction import KEY, SCHEMA

__all__ = ["TABLE", "check_index"]

TABLE = pl.Schema({**SCHEMA, "covered": pl.Boolean()})
"""Rows of hot segments, and whether the index says that it covers their segment."""


def check_index(
    where: Where,
    table: pl.DataFrame | None,
    indexed: pl.DataFrame | None,
    whole: Collection[str],
) -> Iterator[Finding]:
    """Compare all rows of some users. `where` names the shard and the index.

    `table` has all their rows of hot segments, in `TABLE`, and `indexed` those of the index, in
    `interaction.SCHEMA`. Of the sources in `whole` all rows are hot: the index has no others.
    """
    both = compared(table, indexed, "covered", "indexed")
    known = pl.col("source").is_in(list(whole))
    narrow = (pl.col("first_indexed") > pl.col("first_covered")) | (
        pl.col("last_indexed") < pl.col("last_covered")
    )
    wide = (pl.col("first_indexed") < pl.col("first")) | (pl.col("last_indexed") > pl.col("last"))
    cases = (
        (
            FindingKind.INDEX_MISSING,
            pl.col("first_indexed").is_null() & pl.col("first_covered").is_not_null(),
        ),
        (FindingKind.INDEX_EXTRA, pl.col("first").is_null() & known),
        (FindingKind.INDEX_OTHER, narrow | (wide & known)),
    )
    for kind, wrong in cases:
        for row in (
            both.filter(wrong.fill_null(value=False)).sort("source", "user").iter_rows(named=True)
        ):
            yield _finding(where, kind, row)


def _finding(where: Where, kind: FindingKind, row: Mapping[str, Any]) -> Finding:
    parts = ", ".join(f"{name} {row[name]}" for name in KEY[1:] if row[name] is not None)
    at = Where(where.topic, where.partition, source=row["source"], key=parts)
    said = f"segments say {row['first']} to {row['last']}"
    is_so = f"the index says {row['first_indexed']} to {row['last_indexed']}"
    what = {
        FindingKind.INDEX_MISSING: f"{said}, and the index has no row",
        FindingKind.INDEX_EXTRA: f"{is_so}, and no segment has the row",
    }.get(kind, f"{said}, {is_so}")
    return found(kind, at, f"{where.key}: {what}")

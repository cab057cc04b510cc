"""The rows of events against the rows that are held, key by key."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from agents.verify.checks.compared import compared
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from schemas.tables.interaction import KEY
from schemas.tables.placement import partition_of
from streams.kafka.topic_specs import Topics

__all__ = ["check_rows"]


def check_rows(
    topics: Topics,
    partitions: int,
    expected: pl.DataFrame | None,
    held: pl.DataFrame | None,
    *,
    complete: bool,
) -> Iterator[Finding]:
    """Compare all rows of some users.

    `expected` has the rows of events in `interaction.SCHEMA`, and `required`: whether the event has
    been folded; others may have been. `complete`: no event is missing, so nothing else may be held.
    """
    both = compared(expected, held, "required", "held")
    missing = pl.col("first_held").is_null() & pl.col("first_required").is_not_null()
    late = (pl.col("first_held") > pl.col("first_required")) | (
        pl.col("last_held") < pl.col("last_required")
    )
    extra, wide = pl.lit(value=False), pl.lit(value=False)
    if complete:
        extra = pl.col("first").is_null()
        wide = (pl.col("first_held") < pl.col("first")) | (pl.col("last_held") > pl.col("last"))
    cases = (
        (FindingKind.ROW_MISSING, missing),
        (FindingKind.ROW_EXTRA, extra),
        (FindingKind.ROW_OTHER, late | wide),
    )
    for kind, wrong in cases:
        some = both.filter(wrong.fill_null(value=False)).sort("source", "user")
        if some.height:
            shards = partition_of(some["user"], partitions).to_list()
            for shard, row in zip(shards, some.iter_rows(named=True), strict=True):
                yield _finding(topics, kind, shard, row)


def _finding(topics: Topics, kind: FindingKind, shard: int, row: Mapping[str, Any]) -> Finding:
    parts = [f"{name} {row[name]}" for name in KEY[1:] if row[name] is not None]
    where = Where(topics.changelog, shard, source=row["source"], key=", ".join(parts))
    said = f"events say {row['first']} to {row['last']}"
    is_so = f"the row says {row['first_held']} to {row['last_held']}"
    what = {
        FindingKind.ROW_MISSING: f"{said}, and there is no row",
        FindingKind.ROW_EXTRA: f"{is_so}, and no event makes it",
    }.get(kind, f"{said}, {is_so}")
    return found(kind, where, what)

"""Where in a sorted column some values stand."""

from bisect import bisect_left
from collections.abc import Iterator

import polars as pl

__all__ = ["positions"]

#: So many values cost less one by one than the query that Polars makes of a search.
_FEW = 16


def positions(held: pl.Series, wanted: pl.Series) -> Iterator[int]:
    """Every place in a sorted series where any of these values stands."""
    if not len(held):
        return
    few = len(wanted) <= _FEW
    # a search costs as much as looking at many single values: so only where they begin
    starts = [bisect_left(held, value) for value in wanted] if few else held.search_sorted(wanted)
    for at, value in zip(starts, wanted, strict=True):
        while at < len(held) and held[at] == value:
            yield at
            at += 1

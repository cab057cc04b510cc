"""Finds values in a sorted column."""

from bisect import bisect_left
from collections.abc import Iterator

import polars as pl

__all__ = ["positions"]

#: So many values cost less one by one than the query that Polars makes of a search.
_FEW = 16


def positions(held: pl.Series, wanted: pl.Series) -> Iterator[int]:
    """Every position in a sorted series that has one of these values."""
    if not len(held):
        return
    few = len(wanted) <= _FEW
    # a search costs as much as looking at many single values: so only where they begin
    starts = [bisect_left(held, value) for value in wanted] if few else held.search_sorted(wanted)
    for at, value in zip(starts, wanted, strict=True):
        while at < len(held) and held[at] == value:
            yield at
            at += 1

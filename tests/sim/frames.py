"""Polars in a run: what it leaves open is always the same, and what it read once it reads no more.

Polars draws numbers anew for each grouping, and so the order of groups and of unique values. From
that order come rows of one user in another order, segments of other bytes, and steps of other
sizes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partialmethod
from typing import Any
from unittest.mock import patch

import polars as pl

from schemas.segment import codec

__all__ = ["frames_repeat"]

#: Each has an argument that keeps the order of the rows.
_GROUPING = (
    (pl.DataFrame, "group_by"),
    (pl.LazyFrame, "group_by"),
    (pl.DataFrame, "unique"),
    (pl.LazyFrame, "unique"),
    (pl.Series, "unique"),
    (pl.Expr, "unique"),
)
_DECODED = 2_000


@contextmanager
def frames_repeat() -> Iterator[None]:
    """Inside, the same frame gives the same frame, however often, and whatever was done before.

    The bytes of a small segment are decoded once: workers and checker read the same segments over
    and over, and nothing changes a frame.
    """
    with ExitStack() as stack:
        for owner, name in _GROUPING:
            ordered = partialmethod(getattr(owner, name), maintain_order=True)
            stack.enter_context(patch.object(owner, name, ordered))
        counts = _sorted(pl.Series.value_counts)
        stack.enter_context(patch.object(pl.Series, "value_counts", counts))
        decoded = lru_cache(_DECODED)(codec._whole)
        stack.enter_context(patch.object(codec, "_whole", decoded))
        yield


def _sorted(value_counts: Callable[..., pl.DataFrame]) -> Callable[..., pl.DataFrame]:
    def counts(values: pl.Series, **arguments: Any) -> pl.DataFrame:
        return value_counts(values, **arguments).sort(values.name)

    return counts

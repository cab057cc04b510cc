"""Random interactions for tests, and their fold with plain dictionaries."""

import random
from collections.abc import Iterable

import polars as pl

from schemas.tables.interaction import CHANNELS, KEY, KINDS, SCHEMA

__all__ = ["as_dict", "random_rows"]


def random_rows(
    seed: int,
    count: int,
    sources: int = 5,
    users: int = 50,
    start: int = 1_700_000_000_000,
    details: int = 0,
) -> pl.DataFrame:
    """`count` rows in `interaction.SCHEMA`; few users, so that many rows share a key, unless there
    are many `details`.
    """
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        first = start + chance.randrange(1_000_000)
        rows.append(
            {
                "source": f"campaign:{chance.randrange(sources):04d}",
                "user": f"{chance.randrange(users):024x}",
                "kind": chance.choice(KINDS[:4]),
                "channel": chance.choice((None, *CHANNELS[:2])),
                "step": None,
                "variation": chance.choice((None, "a", "b")),
                "detail": f"{chance.randrange(details)}" if details else None,
                "first": first,
                "last": first + chance.randrange(1000),
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def as_dict(frames: Iterable[pl.DataFrame]) -> dict[tuple[object, ...], tuple[int, int]]:
    """Key -> (first, last), folded by hand."""
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    for frame in frames:
        for *key, first, last in frame.select(*KEY, "first", "last").iter_rows():
            low, high = found.get(tuple(key), (first, last))
            found[tuple(key)] = (min(low, first), max(high, last))
    return found

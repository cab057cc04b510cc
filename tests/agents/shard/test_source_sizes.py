"""The last days of sources in a delta of the counts: by a loop and by a group-by."""

from random import Random

import polars as pl
import pytest

from agents.shard import source_sizes
from schemas.tables.counts import COUNT_SCHEMA


def delta(rows: int, seed: int) -> pl.DataFrame:
    """Counts of three sources; feed views have no day."""
    random = Random(seed)
    made = [
        {
            "source": random.choice(["campaign:a", "canvas:b", "@feed"]),
            "day": random.choice([None, *range(-3, 20_000)]),
            "count": 1,
        }
        for _ in range(rows)
    ]
    feed = pl.col("source") == "@feed"
    return pl.DataFrame(made, schema=COUNT_SCHEMA).with_columns(
        day=pl.when(feed).then(None).otherwise("day")
    )


@pytest.mark.parametrize("rows", [0, 1, 40])
@pytest.mark.parametrize("few", [0, 1_000])
def test_the_last_days_of_a_delta(rows: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_sizes, "_FEW", few)
    counts = delta(rows, seed=rows)

    found = source_sizes._last_in(counts)

    days: dict[str, list[int]] = {}
    for source, day in counts.select("source", "day").iter_rows():
        days.setdefault(source, []).extend([] if day is None else [day])
    assert found == {source: max(each) for source, each in days.items() if each}
    assert "@feed" not in found

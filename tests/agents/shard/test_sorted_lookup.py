"""Positions of values in a sorted column."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.shard import sorted_lookup as module
from agents.shard.sorted_lookup import positions

words = st.lists(st.text("ab", max_size=3), max_size=20)


@pytest.mark.parametrize("few", [0, 100])
@given(words, st.sets(st.text("ab", max_size=3), max_size=8))
def test_every_place_of_every_value(few: int, held: list[str], wanted: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEW", few)
        order = sorted(held)
        found = positions(
            pl.Series(order, dtype=pl.String), pl.Series(sorted(wanted), dtype=pl.String)
        )
        assert list(found) == [at for at, word in enumerate(order) if word in wanted]

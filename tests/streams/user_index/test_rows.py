"""Rows as tuples: they are folded and widened as frames are."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from schemas.tables.fold import fold
from schemas.tables.interaction import SCHEMA
from schemas.tables.profile import PROFILE, wide
from streams.user_index.rows import folded, frame_of, widened
from tests.rigs.rows import random_rows

sources = st.sampled_from(["campaign:0", "canvas:0", "canvas:1", PROFILE])


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(*SCHEMA.names())


@given(st.integers(0, 1_000), st.lists(sources, max_size=40))
def test_they_fold_and_widen_as_frames_do(seed: int, of: list[str]) -> None:
    rows = random_rows(seed, len(of), users=3)
    rows = rows.with_columns(source=pl.Series(of, dtype=pl.String))
    told = folded(rows.rows())
    assert told == sorted(told, key=lambda row: (row[1], row[0]))
    assert_frame_equal(in_order(frame_of(told)), in_order(fold(rows)))
    passed = [row for row in rows.rows() if row[0] == PROFILE]
    assert_frame_equal(
        in_order(frame_of(folded(widened(rows.rows()) + passed))), in_order(wide(rows))
    )


@pytest.mark.parametrize("count", [0, 1, 20])
def test_a_frame_has_the_schema_however_few_the_rows(count: int) -> None:
    rows = random_rows(1, count)
    assert frame_of(rows.rows()).schema == SCHEMA
    assert_frame_equal(frame_of(rows.rows()), rows)

"""Deltas come back as they were, few rows or many, and broken bytes are told."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from schemas import delta
from schemas.counts import COUNT_SCHEMA, count
from schemas.decode_view import FEW
from schemas.interaction import SCHEMA
from schemas.segment import CorruptSegment
from tests.streams.rows import random_rows


@pytest.mark.parametrize("rows", [0, 1, FEW - 1, FEW])
def test_a_delta_comes_back(rows: int) -> None:
    frame = random_rows(7, rows)
    counts = count(frame)

    assert_frame_equal(delta.decode(delta.encode(frame), SCHEMA), frame)
    assert_frame_equal(delta.decode(delta.encode(counts), COUNT_SCHEMA), counts)


def test_one_of_several_chunks_is_one_again() -> None:
    whole = pl.concat([random_rows(7, 10), random_rows(8, 10)], rechunk=False)

    assert delta.decode(delta.encode(whole), SCHEMA).n_chunks() == 1


@pytest.mark.parametrize("rows", [5, FEW])
def test_what_is_cut_off_is_corrupt(rows: int) -> None:
    data = delta.encode(random_rows(7, rows))

    for end in (0, 3, 4, 100, len(data) // 2, len(data) - 600):
        with pytest.raises(CorruptSegment, match="cannot be decoded"):
            delta.decode(data[:end], SCHEMA)


def test_other_columns_are_corrupt() -> None:
    with pytest.raises(CorruptSegment, match="unexpected columns"):
        delta.decode(delta.encode(random_rows(7, 5)), COUNT_SCHEMA)

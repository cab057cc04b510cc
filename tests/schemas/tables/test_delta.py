"""Deltas of few or many rows are decoded unchanged, and damaged bytes raise an error."""

import random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from schemas.errors import CorruptSegment
from schemas.tables import delta
from schemas.tables.counts import COUNT_SCHEMA, count
from schemas.tables.interaction import SCHEMA
from schemas.tables.sealed import unsealed
from schemas.tables.view import FEW
from tests.rigs.rows import random_rows


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


@pytest.mark.parametrize("rows", [20, FEW])
def test_damage_is_noticed_before_a_native_reader_sees_it(rows: int) -> None:
    """Those abort the process on some bytes: this test would end with it."""
    data = delta.encode(random_rows(3, rows))
    chance = random.Random(rows)
    for _ in range(3_000):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 1, 4, 40))):
            damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(data)) :]
        with pytest.raises(CorruptSegment):
            delta.decode(bytes(damaged), SCHEMA)


@pytest.mark.parametrize("rows", [20, FEW])
def test_what_an_earlier_release_wrote_is_read(rows: int) -> None:
    frame = random_rows(3, rows)
    before = unsealed(delta.encode(frame))
    assert_frame_equal(delta.decode(before, SCHEMA), frame)

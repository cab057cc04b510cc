"""Blocks of the index by user: users with any name and their rows stay unchanged."""

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from streams.user_index import block as block
from tests.rigs.rows import random_rows

hexed = st.text("0123456789abcdef", min_size=24, max_size=24)
near = st.text("0123456789abcdefABab", min_size=10, max_size=25)
names = st.one_of(hexed, near, st.text(max_size=14), st.sampled_from(["", "a", "bb", "ü" * 6]))


def rows_of(users: list[str]) -> pl.DataFrame:
    rows = random_rows(1, len(users))
    return rows.with_columns(user=pl.Series(users, dtype=pl.String))


@given(st.lists(names, min_size=1, max_size=30))
def test_every_user_is_packed_alike_alone_and_in_a_column(users: list[str]) -> None:
    packed = block.pack(rows_of(users))["user"].to_list()
    assert packed == [block.pack_user(user) for user in users]
    assert len(set(packed)) == len(set(users))


@given(st.lists(names, min_size=1, max_size=30))
def test_a_block_gives_back_its_rows(users: list[str]) -> None:
    packed = block.pack(rows_of(users)).sort("user")
    found = block.decode(block.encode(packed))
    assert found.schema == block.PACKED
    assert_frame_equal(found, packed)
    assert_frame_equal(block.unpack(block.pack(rows_of(users))), rows_of(users))


@given(st.lists(names, min_size=1, max_size=30), st.lists(names, max_size=3))
def test_a_block_gives_the_rows_of_users(users: list[str], strangers: list[str]) -> None:
    rows = rows_of(users)
    data = block.encode(block.pack(rows).sort("user"))
    asked = {*users[:3], *strangers}
    found = block.rows_of(data, [(block.pack_user(user), user) for user in asked])
    assert sorted(map(str, found)) == sorted(
        map(str, rows.filter(pl.col("user").is_in(asked)).rows())
    )


@pytest.mark.parametrize("rows", [1, block.BLOCK_ROWS, block.BLOCK_ROWS + 1, 9_999])
def test_splitting_keeps_order_and_bound(rows: int) -> None:
    frame = pl.DataFrame({"number": range(rows)})
    pieces = list(block.split(frame))
    assert_frame_equal(pl.concat(pieces), frame)
    assert all(0 < piece.height <= block.BLOCK_ROWS for piece in pieces)


@given(cut=st.integers(0, 2_000))
@example(cut=325)  # right after the schema
def test_damaged_bytes_are_an_error(cut: int) -> None:
    data = block.encode(block.pack(random_rows(1, 100)))
    with pytest.raises(block.CorruptBlock):
        block.decode(data[: min(cut, len(data) - 1)])

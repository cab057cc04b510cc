import polars as pl
from aiokafka.partitioner import murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.placement import partition_of

users = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=30)
hex_users = st.lists(st.binary(min_size=12, max_size=12).map(bytes.hex), min_size=1, max_size=50)


@given(users | hex_users, st.integers(1, 4096))
@example([], 4)
@example([""], 4)
@example(["a", "ab", "abc", "abcd", "abcde", "ü", "\U0001f525"], 16)
def test_equals_kafkas_partitioner(ids: list[str], n: int) -> None:
    found = partition_of(pl.Series("user", ids, dtype=pl.String), n)

    assert found.dtype == pl.Int32
    assert found.to_list() == [(murmur2(i.encode()) & 0x7FFF_FFFF) % n for i in ids]

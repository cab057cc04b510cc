import time

import polars as pl
import pytest
from aiokafka.partitioner import murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.tables.placement import partition_of

users = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=30)
hex_users = st.lists(st.binary(min_size=12, max_size=12).map(bytes.hex), min_size=1, max_size=50)


@given(users | hex_users, st.integers(1, 4096))
@example([], 4)
@example([""], 4)
@example(["a", "ab", "abc", "abcd", "abcde", "ü", "\U0001f525"], 16)
def test_equals_kafkas_partitioner(ids: list[str], n: int) -> None:
    found = partition_of(pl.Series("user", ids, dtype=pl.String), n)

    assert found.dtype == pl.Int32
    wanted = [(murmur2(i.encode()) & 0x7FFF_FFFF) % n for i in ids]
    assert found.to_list() == wanted
    # many are placed in another way than a few
    assert partition_of(pl.Series(ids * 120, dtype=pl.String), n).to_list() == wanted * 120


@pytest.mark.parametrize("size", [0, 1, 3, 4, 23, 24, 39, 40, 41, 64, 67, 512])
def test_many_users_of_one_length_or_nearly(size: int) -> None:
    for lengths in ([size] * 300, [size + number % 3 for number in range(900)]):
        ids = [f"{number}é".ljust(400, "é")[: length // 2] + "x" * (length % 2)
               for number, length in enumerate(lengths)]  # fmt: skip
        found = partition_of(pl.Series("user", ids, dtype=pl.String), 7)
        assert found.to_list() == [(murmur2(i.encode()) & 0x7FFF_FFFF) % 7 for i in ids]


def test_the_work_is_proportional_to_the_bytes() -> None:
    """313 users of as many lengths held up every shard of a worker for half a minute."""
    ids = ["x" * length for length in range(200, 513)]
    few, many = (pl.Series("user", ids * times) for times in (1, 30))
    partition_of(few, 16)  # once for what is made at the first use
    assert _seconds(few) < 2.0
    assert _seconds(many) < 60 * max(_seconds(few), 0.01)
    assert _seconds(pl.Series("user", ["x" * 100_000])) < 2.0


def _seconds(ids: pl.Series) -> float:
    """CPU time, which other work on the machine does not change."""
    began = time.process_time()
    partition_of(ids, 16)
    return time.process_time() - began

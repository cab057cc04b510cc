"""The partition of a single user equals that of a whole column; an empty name is no user."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from agents.users.partition import partition_of_user
from schemas.tables.placement import partition_of


@given(st.lists(st.text(min_size=1), min_size=1), st.integers(1, 64))
def test_as_columns_are(users: list[str], n: int) -> None:
    expected = partition_of(pl.Series(users, dtype=pl.String), n).to_list()
    assert [partition_of_user(user, n) for user in users] == expected

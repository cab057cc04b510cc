"""Merging streams of users into one order, also if one stream fails."""

from collections.abc import AsyncGenerator

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.audience.ascending import ascending

USERS = st.lists(st.text("abé", min_size=1, max_size=3), max_size=12)


class Stream:
    """Users in ascending order, cut anywhere."""

    def __init__(self, users: list[str], width: int, error: Exception | None = None) -> None:
        self.users, self.width, self.error = sorted(users), width, error
        self.closed = False

    async def read(self) -> AsyncGenerator[pl.Series, None]:
        try:
            for at in range(0, len(self.users), self.width):
                yield pl.Series("user", self.users[at : at + self.width], dtype=pl.String)
                yield pl.Series("user", [], dtype=pl.String)
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


@given(st.lists(st.tuples(USERS, st.integers(1, 4)), max_size=4))
async def test_the_merge_of_all(given: list[tuple[list[str], int]]) -> None:
    streams = [Stream(*each) for each in given]
    parts = [part.to_list() async for part in ascending([each.read() for each in streams])]
    found = [user for part in parts for user in part]
    assert found == sorted(user for users, _ in given for user in users)
    assert all(parts)


async def test_one_that_fails_ends_it_and_all_are_closed() -> None:
    streams = [Stream(["a", "c"], 1), Stream(["b"], 1, ValueError("gone")), Stream(["d"], 1)]
    found: list[str] = []

    async def read() -> None:
        async for part in ascending([each.read() for each in streams]):
            found.extend(part)

    with pytest.raises(ValueError, match="gone"):
        await read()
    assert found == ["a", "b"]
    assert all(each.closed for each in streams)

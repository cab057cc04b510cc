"""Runs of the index by user: the positions of users, the choice of merges, and the ranges."""

from hypothesis import given
from hypothesis import strategies as st

from streams.user_index.runs import FAN_IN, Run, choose, ranges

letters = st.lists(st.sampled_from("abcdefgh").map(str.encode), min_size=1, max_size=30)


def run(number: int, users: list[bytes], block_rows: int = 3) -> Run:
    ordered = sorted(users)
    return Run(number, len(ordered), tuple(ordered[::block_rows]))


@given(letters, st.sampled_from("abcdefghi").map(str.encode))
def test_every_row_of_a_user_lies_in_the_blocks_that_are_read(
    users: list[bytes], user: bytes
) -> None:
    read = run(1, users).blocks(user, user + b"\0")
    for place, other in enumerate(sorted(users)):
        assert other != user or place // 3 in read


@given(st.lists(letters, min_size=1, max_size=4), st.integers(1, 10))
def test_ranges_cover_every_user_once(many: list[list[bytes]], blocks: int) -> None:
    found = ranges([run(number, users) for number, users in enumerate(many)], blocks)
    for user in {user for users in many for user in users}:
        assert sum(low <= user and (high is None or user < high) for low, high in found) == 1


@given(st.lists(st.integers(1, 10_000_000), max_size=60))
def test_merging_ends_with_few_runs_of_a_size(sizes: list[int]) -> None:
    runs = [Run(number, rows, ()) for number, rows in enumerate(sizes)]
    merges = 0
    while chosen := choose(runs):
        assert len(chosen) >= FAN_IN
        kept = [each for each in runs if each not in chosen]
        runs = [*kept, Run(1_000 + merges, sum(each.rows for each in chosen), ())]
        merges += 1
    assert merges <= len(sizes)
    assert len(runs) <= (FAN_IN - 1) * 6

"""What is stored stays in proportion to what there is, however often the same rows come."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.shard.jobs.backlog import too_much
from agents.shard.jobs.compact import merge_classes
from schemas.segment.index import SegmentIndex
from schemas.tables.profile import wide
from streams.state import compaction_plan
from tests.rigs.rows import as_dict, random_rows
from tests.rigs.shelf import LIMITS, Shelf

LEAST = 400


def waiting(shelf: Shelf, fan_in: int) -> list[SegmentIndex]:
    """The segments that wait for a merge."""
    classes = merge_classes(list(shelf.table.segments.values()), fan_in, LIMITS)
    found = {
        index.id: index
        for some, most in classes
        for index in compaction_plan.crowded(some, most, shelf.together)
    }
    return list(found.values())


def merged_one(shelf: Shelf, fan_in: int, weight: int = 1_000_000) -> bool:
    """Whether there was a merge to do."""
    for some, most in merge_classes(list(shelf.table.segments.values()), fan_in, LIMITS):
        if chosen := compaction_plan.choose_merge(some, most, weight, shelf.together):
            shelf.merge(chosen)
            return True
    return False


def rows(segments: list[SegmentIndex]) -> int:
    return sum(index.rows for index in segments)


@pytest.mark.parametrize("users", [8, 60], ids=["few rows of each source", "half full segments"])
def test_rows_that_come_again_and_again_are_folded(users: int) -> None:
    """Profile-wide rows are the same ones in each flush, and fill half a segment at once."""
    shelf, frame = Shelf(), random_rows(1, 200, sources=2, users=users)
    for _ in range(60):
        shelf.add(frame)
        shelf.flush()
        while merged_one(shelf, 2):
            pass
    assert shelf.rows() == as_dict([frame])
    assert shelf.profile() == as_dict([wide(frame)])
    levels = max(index.level for index in shelf.table.segments.values()) + 1
    once = len(shelf.rows()) + len(shelf.profile())
    assert rows(list(shelf.table.segments.values())) <= 6 * levels * once
    assert levels <= 6


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    users=st.integers(1, 3),
    counts=st.lists(st.integers(1, 900), min_size=1, max_size=6),
    fan_in=st.integers(2, 4),
    weight=st.sampled_from([1, 10_000, 1_000_000]),
)
def test_merging_ends_though_a_user_fills_many_segments(
    seed: int, users: int, counts: list[int], fan_in: int, weight: int
) -> None:
    """Segments of one user alone overlap with each other after each merge (seed 214 of the
    simulation).
    """
    shelf, frames = Shelf(), list[pl.DataFrame]()
    for number, count in enumerate(counts):
        frames.append(random_rows(seed + number, count, sources=1, users=users, details=100))
        shelf.add(frames[-1])
        shelf.flush()
        # each merge makes one of at least two at a higher level
        most = len(shelf.table.segments) * (1 + len(shelf.table.segments).bit_length())
        merges = 0
        while merged_one(shelf, fan_in, weight):
            merges += 1
            assert merges <= most, "merging does not end"
        assert not waiting(shelf, fan_in)
    assert shelf.rows() == as_dict(frames)
    assert shelf.profile() == as_dict([wide(pl.concat(frames))])


@settings(max_examples=12)
@given(
    seed=st.integers(0, 1000),
    users=st.integers(1, 60),
    counts=st.lists(st.integers(1, 120), min_size=1, max_size=30),
    fan_in=st.integers(2, 4),
)
def test_however_long_merges_wait_the_unmerged_is_bounded_by_the_merged(
    seed: int, users: int, counts: list[int], fan_in: int
) -> None:
    """No merge but those that ingest waits for: what waits is at most what does not wait, or the
    least, and what one step adds or makes wait.
    """
    shelf, frames = Shelf(), list[pl.DataFrame]()
    bound = LEAST
    for number, count in enumerate(counts):
        waits = rows(waiting(shelf, fan_in))
        whole = rows(list(shelf.table.segments.values()))
        while too_much(waits, whole - waits, LEAST):
            # there is always a merge that makes room
            assert merged_one(shelf, fan_in)
            waits = rows(waiting(shelf, fan_in))
            whole = rows(list(shelf.table.segments.values()))
        bound = max(LEAST, whole - waits)
        assert waits <= bound
        frames.append(random_rows(seed + number, count, sources=3, users=users))
        shelf.add(frames[-1])
        shelf.flush()
        levels = max(index.level for index in shelf.table.segments.values()) + 1
        once = len(shelf.rows()) + len(shelf.profile())
        most = max(LEAST, 3 * fan_in * levels * once)
        assert rows(list(shelf.table.segments.values())) <= 2 * most + 2 * count
    assert shelf.rows() == as_dict(frames)


def test_less_than_the_least_never_holds_up_ingest() -> None:
    assert not too_much(400, 0, 400)
    assert too_much(401, 0, 400)
    assert not too_much(401, 401, 400)
    assert too_much(402, 401, 400)

"""Reading one source: every row once, in ranges of users, for any overlap of segments."""

import itertools
from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.segment.index import SegmentIndex
from streams.state import compaction_plan, keys, range_scan
from tests.rigs.rows import as_dict, random_rows

LIMITS = compaction_plan.SegmentLimits(rows=40, bytes=900_000, own_rows=15)
SOURCE = "campaign:0001"
RANGE = 30


@pytest.fixture(autouse=True)
def small_ranges() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_scan, "_PER_RANGE", RANGE)
        patch.setattr(range_scan, "_SAMPLE", 3)
        yield


def stored(frames: list[pl.DataFrame]) -> tuple[list[SegmentIndex], dict[str, bytes]]:
    """The segments of the source after this many flushes, and the bytes of all."""
    numbers = itertools.count()
    puts = {
        key: value or b""
        for frame in frames
        for key, value in compaction_plan.lay(frame, lambda: f"{next(numbers):024x}", LIMITS)
    }
    indexes = [SegmentIndex.from_json(v) for k, v in puts.items() if keys.kind(k) == b"i"]
    data = {keys.name(k): v for k, v in puts.items() if keys.kind(k) != b"i"}
    return [index for index in indexes if SOURCE in index.sources], data


async def swept(flushed: list[pl.DataFrame], fresh: list[pl.DataFrame]) -> list[pl.DataFrame]:
    segments, data = stored(flushed)
    deltas = [frame.filter(pl.col("source") == SOURCE) for frame in fresh]
    reading = range_scan.range_scan(SOURCE, segments, deltas, lambda index: data[index.id])
    return [frame async for frame in reading]


@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(1, 120)), max_size=6),
    st.lists(st.tuples(st.integers(1000, 1999), st.integers(1, 60)), max_size=3),
    st.sampled_from([1, 4, 60]),
)
@settings(deadline=None, max_examples=60)
async def test_every_row_comes_once_and_users_in_ranges(
    flushed: list[tuple[int, int]], fresh: list[tuple[int, int]], users: int
) -> None:
    before = [random_rows(seed, rows, sources=3, users=users) for seed, rows in flushed]
    after = [random_rows(seed, rows, sources=3, users=users) for seed, rows in fresh]

    found = await swept(before, after)

    everything = [f.filter(pl.col("source") == SOURCE) for f in (*before, *after)]
    assert as_dict(found) == as_dict(everything)
    assert sum(frame.height for frame in found) == len(as_dict(found))
    assert all(frame.height for frame in found)
    ends = [(str(frame["user"].min()), str(frame["user"].max())) for frame in found]
    assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))


async def test_what_is_held_does_not_grow_with_the_segments_that_overlap() -> None:
    """Every flush reaches over all users, as it does where users are not sorted by time."""
    flushed = [random_rows(seed, 200, sources=2, users=5_000) for seed in range(20)]

    found = await swept(flushed, [])

    assert len(found) > 20
    assert max(frame.height for frame in found) < 3 * RANGE


async def test_nothing_is_no_frame() -> None:
    assert await swept([], []) == []

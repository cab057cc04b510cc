"""Compaction plans: flush, merge and separation keep the rows the same."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.tables.profile import wide
from streams.state import compaction_plan
from tests.rigs.rows import as_dict, random_rows
from tests.rigs.shelf import LIMITS, Shelf


def filled(seed: int, flushes: int, count: int = 60) -> tuple[Shelf, list[pl.DataFrame]]:
    shelf = Shelf()
    frames = []
    for number in range(flushes):
        frames.append(random_rows(seed + number, count, sources=6, users=30))
        shelf.add(frames[-1])
        shelf.flush()
    return shelf, frames


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), flushes=st.integers(1, 4))
def test_a_flush_keeps_every_row_and_leaves_no_delta(seed: int, flushes: int) -> None:
    shelf, frames = filled(seed, flushes)
    assert shelf.rows() == as_dict(frames)
    assert shelf.profile() == as_dict([wide(pl.concat(frames))])
    assert not shelf.table.deltas
    assert shelf.table.delta_rows == 0


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), flushes=st.integers(2, 12), fan_in=st.integers(2, 4))
def test_merging_ends_and_changes_no_row(seed: int, flushes: int, fan_in: int) -> None:
    shelf, frames = filled(seed, flushes, count=30)
    for _ in range(200):
        chosen = compaction_plan.choose_merge(
            shelf.table.segments.values(), fan_in, 1_000_000, shelf.together
        )
        if not chosen:
            break
        assert len({index.level for index in chosen}) == 1
        waiting = compaction_plan.crowded(shelf.table.segments.values(), fan_in, shelf.together)
        assert {index.id for index in chosen} <= {index.id for index in waiting}
        shelf.merge(chosen)
    else:
        pytest.fail("merging does not end")
    assert not compaction_plan.crowded(shelf.table.segments.values(), fan_in, shelf.together)
    assert shelf.rows() == as_dict(frames)
    assert shelf.profile() == as_dict([wide(pl.concat(frames))])
    for level in {index.level for index in shelf.table.segments.values()}:
        assert depth(shelf, level) <= fan_in


def depth(shelf: Shelf, level: int) -> int:
    """How many overlap in one place; those of one merge are one."""
    found = [index for index in shelf.table.segments.values() if index.level == level]
    places = ([i.id for i in found if i.low <= index.low <= i.high] for index in found)
    return max(len({shelf.together.get(one, one) for one in place}) for place in places)


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), leaving=st.sets(st.integers(0, 5), min_size=1))
def test_separation_leaves_the_sources_alone_in_their_segments(
    seed: int, leaving: set[int]
) -> None:
    shelf, frames = filled(seed, 2)
    sources = {f"campaign:{number:04d}" for number in leaving}
    for index in shelf.table.shared_segments(sources):
        puts = compaction_plan.separate(
            index, shelf.read(index), sorted(sources), shelf.new_id, LIMITS
        )
        shelf.apply(puts)
    assert not shelf.table.shared_segments(sources)
    assert shelf.rows() == as_dict(frames)
    for source in sources:
        own = [shelf.read(index) for index in shelf.table.own_segments(source)]
        expected = as_dict(frame.filter(pl.col("source") == source) for frame in frames)
        assert as_dict(own) == expected
    assert shelf.profile() == as_dict([wide(pl.concat(frames))])


def test_a_large_source_has_segments_of_its_own_and_small_ones_share() -> None:
    shelf = Shelf()
    large = random_rows(1, 200, sources=1, users=500)
    small = random_rows(2, 12, sources=6, users=500).filter(pl.col("source") != "campaign:0000")
    shelf.add(pl.concat([large, small]))
    shelf.flush()
    own = shelf.table.own_segments("campaign:0000")
    assert sum(index.rows for index in own) == len(as_dict([large]))
    shared = [index for index in shelf.table.segments.values() if len(index.sources) > 1]
    assert len(shared) == 1


@pytest.mark.parametrize(
    ("count", "length"), [(9_000, 14), (1_500, 512)], ids=["many", "long names"]
)
def test_a_segment_index_never_names_more_than_a_record_holds(count: int, length: int) -> None:
    """Quotes and control characters take six bytes in JSON."""
    shelf = Shelf()
    rows = random_rows(3, count, sources=count, users=10)
    shelf.add(rows.with_columns(pl.col("source").str.pad_end(length, "\x01")))
    limits = compaction_plan.SegmentLimits(50_000, 900_000, 4_000)
    shelf.apply(compaction_plan.flush(shelf.table.deltas, shelf.new_id, limits))
    assert len(shelf.table.segments) > 1
    assert max(len(index.to_json()) for index in shelf.table.segments.values()) < 950_000
    assert sum(index.rows for index in shelf.table.segments.values()) >= rows["source"].n_unique()

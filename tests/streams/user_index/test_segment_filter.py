"""Segments that the index does not cover yet: read once, then checked by hash."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from schemas.errors import CorruptSegment
from schemas.tables.interaction import SCHEMA
from streams.state import keys
from streams.user_index import segment_filter as segment_filter_module
from streams.user_index.segment_filter import SegmentFilter, SegmentGone, rows_among
from tests.rigs.rows import random_rows
from tests.rigs.user_index import Rig

USERS = [f"{number:024x}" for number in range(60)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    for seed in range(3):
        made.add(random_rows(seed, 200, users=40))
        made.flush()
    yield made
    made.close()


def expected(rig: Rig, users: list[str]) -> list[str]:
    segments = [rig.read(index) for index in rig.table.segments.values()]
    rows = pl.concat([pl.DataFrame(schema=SCHEMA), *segments])
    return sorted(map(str, rows.filter(pl.col("user").is_in(users)).rows()))


@pytest.mark.parametrize("most", [0, 1_000_000])
@pytest.mark.parametrize("users", [USERS[7:8], USERS[38:42], USERS, [USERS[7] + "0"]])
def test_asked_twice_the_rows_are_the_same(
    rig: Rig, users: list[str], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_filter_module, "_MOST_ROWS", most)
    segment_filter, segments = SegmentFilter(), list(rig.table.segments.values())
    for _ in range(2):
        found = segment_filter.rows(segments, users, rig.state_store.snapshot())
        assert sorted(map(str, found)) == expected(rig, users)
    assert bool(segment_filter._hashes) == bool(most)


def test_users_of_any_name_are_found(rig: Rig) -> None:
    names = ["", "ü" * 6, USERS[0].upper(), USERS[0][:-1], *USERS[:5]]
    rows = random_rows(7, 300)
    users = pl.Series(names * 100, dtype=pl.String).head(rows.height)
    rig.add(rows.with_columns(user=users))
    rig.flush()
    segment_filter, segments = SegmentFilter(), list(rig.table.segments.values())
    for user in [*names, USERS[9]] * 2:
        found = segment_filter.rows(segments, [user], rig.state_store.snapshot())
        assert sorted(map(str, found)) == expected(rig, [user])


def test_damaged_segments_are_an_error(rig: Rig) -> None:
    segments = list(rig.table.segments.values())
    rig.state_store.apply([(keys.segment(index.id), b"PAR1") for index in segments], 1)
    with pytest.raises(CorruptSegment):
        list(SegmentFilter().rows(segments, USERS, rig.state_store.snapshot()))


def test_segments_that_are_covered_are_forgotten(rig: Rig) -> None:
    segment_filter, segments = SegmentFilter(), list(rig.table.segments.values())
    list(segment_filter.rows(segments, USERS, rig.state_store.snapshot()))
    kept = {segments[0].id}
    segment_filter.keep(kept)
    assert segment_filter._hashes.keys() == kept


def test_a_segment_that_has_gone_is_an_error(rig: Rig) -> None:
    segments = list(rig.table.segments.values())
    rig.drop(next(iter(segments[0].sources)))
    with pytest.raises(SegmentGone):
        list(SegmentFilter().rows(segments, USERS, rig.state_store.snapshot()))


@pytest.mark.parametrize("users", [USERS[:1], USERS, ["nobody"]])
@pytest.mark.parametrize("deltas", [0, 1, 3])
def test_rows_of_deltas(users: list[str], deltas: int) -> None:
    frames = [random_rows(seed, 300) for seed in range(deltas)]
    expected = [row for f in frames for row in f.filter(pl.col("user").is_in(users)).rows()]
    assert rows_among(frames, users) == expected

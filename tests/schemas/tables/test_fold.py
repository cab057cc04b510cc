import polars as pl
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from schemas.tables.fold import fold
from schemas.tables.interaction import KEY, SCHEMA, empty
from tests.rigs.interaction_rows import frame_of, frames

KEY_LENGTH = len(KEY)


def same(one: pl.DataFrame, other: pl.DataFrame) -> None:
    assert_frame_equal(one, other, check_row_order=False)


@given(frames())
@settings(deadline=None)
def test_equals_a_dictionary(frame: pl.DataFrame) -> None:
    folded: dict[tuple[object, ...], tuple[int, int]] = {}
    for row in frame.iter_rows():
        key, first, last = row[:KEY_LENGTH], *row[KEY_LENGTH:]
        present = folded.get(key, (first, last))
        folded[key] = min(present[0], first), max(present[1], last)

    same(fold(frame), frame_of([(*key, *times) for key, times in folded.items()]))


@given(frames())
@settings(deadline=None)
def test_idempotent(frame: pl.DataFrame) -> None:
    once = fold(frame)

    same(fold(once), once)
    same(fold(pl.concat([frame, frame, once])), once)


@given(frames(), frames())
@settings(deadline=None)
def test_commutative(one: pl.DataFrame, other: pl.DataFrame) -> None:
    same(fold(pl.concat([one, other])), fold(pl.concat([other, one])))


@given(frames(), frames(), frames())
@settings(deadline=None)
def test_associative(a: pl.DataFrame, b: pl.DataFrame, c: pl.DataFrame) -> None:
    left = fold(pl.concat([fold(pl.concat([a, b])), c]))

    same(left, fold(pl.concat([a, fold(pl.concat([b, c]))])))
    same(left, fold(pl.concat([a, b, c])))


def test_keeps_the_schema() -> None:
    assert fold(empty()).schema == SCHEMA

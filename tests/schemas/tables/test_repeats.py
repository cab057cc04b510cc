"""The window of event ids: an id that was seen recently is not new."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import CorruptSegment
from schemas.tables.repeats import Window, hashes, pack, packed, unpack
from schemas.tables.view import FEW

ids = st.lists(st.integers(0, 20).map(str), max_size=12)


def series(values: list[str]) -> pl.Series:
    return hashes(pl.Series("id", values, dtype=pl.String))


@given(st.lists(ids, max_size=8))
def test_an_id_is_fresh_once_while_the_window_holds_it(batches: list[list[str]]) -> None:
    window, seen = Window(limit=1_000), set[str]()
    for batch in batches:
        expected = []
        for name in batch:
            expected.append(name not in seen)
            seen.add(name)
        found = series(batch)
        assert window.fresh(found).to_list() == expected
        window.add(found)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=1, max_size=5))
def test_taking_ids_in_tells_what_is_fresh_and_adds_them(steps: list[tuple[int, int]]) -> None:
    """Many at once are merged and few are not; some are of an earlier step, some come twice."""
    taking, adding = Window(limit=4 * FEW), Window(limit=4 * FEW)
    for number, (size, repeats) in enumerate(steps):
        again = [f"{number - 1} {n}" for n in range(repeats)]
        new = [f"{number} {n}" for n in range(size * FEW // 2)]
        found = series([*new, *again, *new[:repeats]])
        expected = adding.fresh(found)
        adding.add(found)
        assert taking.take(found).to_list() == expected.to_list()
        assert [block.to_list() for block in taking.blocks] == [
            block.to_list() for block in adding.blocks
        ]


def test_among_many_repeats_are_found_at_their_places() -> None:
    window = Window(limit=100_000)
    first = series([f"a{n}" for n in range(FEW + 5)])
    assert window.fresh(first).all()
    window.add(first)

    mixed = series([f"b{n}" for n in range(FEW)] + ["a7", "b3", "c"])

    assert window.fresh(mixed).to_list() == [True] * FEW + [False, False, True]
    assert not window.fresh(first).any()


@given(st.lists(ids, max_size=8), st.integers(0, 30), st.booleans())
def test_the_window_holds_the_last_ids_and_no_block_it_does_not_need(
    batches: list[list[str]], limit: int, at_once: bool
) -> None:
    pieces = [series(batch) for batch in batches]
    window = Window.of(limit, pieces if at_once else ())
    for piece in () if at_once else pieces:
        window.add(piece)
    came = [hash_ for piece in pieces for hash_ in piece.to_list()]
    held = [hash_ for block in window.blocks for hash_ in block.to_list()]
    assert sorted(held) == sorted(came[len(came) - len(held) :])
    assert len(held) >= min(limit, len(came))
    assert sum(map(len, window.blocks[1:])) < max(limit, 1)


@given(ids)
def test_hashes_are_packed_and_come_back(batch: list[str]) -> None:
    assert unpack(pack(series(batch))).to_list() == series(batch).to_list()
    assert packed(pack(series(batch))) == len(batch)


def test_the_number_of_packed_hashes_is_not_believed_before_its_checksum() -> None:
    data = bytearray(pack(series(["a", "b"])))
    data[-1] ^= 1
    with pytest.raises(CorruptSegment):
        packed(bytes(data))

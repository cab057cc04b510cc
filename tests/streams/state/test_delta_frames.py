"""Concatenated deltas equal the single deltas, after any additions and removals."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from schemas.tables.interaction import empty
from streams.state import delta_frames
from streams.state.delta_frames import DeltaFrames
from tests.rigs.rows import as_dict, random_rows

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "put", "again", "flush", "delete", "read")),
        st.integers(0, 40),
    ),
    max_size=80,
)


@given(_STEPS)
def test_the_frames_are_the_deltas(steps: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta_frames, "_SMALL_ROWS", 8)
        patch.setattr(delta_frames, "_LARGE_ROWS", 30)
        patch.setattr(delta_frames, "_FAN_IN", 3)
        plain: dict[bytes, pl.DataFrame] = {}
        deltas = DeltaFrames()
        pinned: list[tuple[tuple[pl.DataFrame, ...], object]] = []
        for number, (what, n) in enumerate(steps):
            some = list(plain)[: n // 2] if what == "flush" else list(plain)[n : n + 1]
            if what == "put":
                some = [b"%04d" % number]
            if what in ("put", "again"):
                for key in some:
                    plain.pop(key, None)
                    plain[key] = deltas[key] = random_rows(number, n % 11)
            elif what == "read":
                pinned.append((deltas.frames(), as_dict(plain.values())))
            else:
                for key in some:
                    del plain[key], deltas[key]
                deltas.rebuild()
            assert deltas.keys() == plain.keys()
            assert deltas.rows == sum(map(len, plain.values()))
        for key, frame in plain.items():
            assert_frame_equal(deltas[key], frame)
        frames = deltas.frames()
        rows = pl.concat([empty(), *plain.values()])
        assert_frame_equal(pl.concat([empty(), *frames]), rows, check_row_order=False)
        assert deltas.sources() == dict(rows.group_by("source").len().iter_rows())
        for frames, before in pinned:
            assert as_dict(frames) == before


def test_many_small_deltas_are_few_frames_that_stay() -> None:
    deltas = DeltaFrames()
    for number in range(2_000):
        deltas[b"%04d" % number] = random_rows(number, 20)
        deltas.rebuild()
    frames = deltas.frames()
    assert len(frames) < 24
    deltas[b"more"] = random_rows(1, 20)
    assert all(any(frame is other for other in deltas.frames()) for frame in frames)
    for number in range(1_990):
        del deltas[b"%04d" % number]
    assert sum(frame.height for frame in deltas.frames()) == deltas.rows

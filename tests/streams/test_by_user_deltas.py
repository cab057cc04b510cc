"""Deltas gathered for readers of users: the same rows, however they were gathered before."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.by_user_deltas import Gathered, gather
from tests.streams.rows import as_dict, random_rows


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=40))
def test_no_delta_is_missed_or_outlives_its_flush(changes: list[tuple[int, bool]]) -> None:
    deltas: dict[bytes, pl.DataFrame] = {}
    gathered = Gathered()
    for number, (count, flush) in enumerate(changes):
        deltas[b"%d" % number] = random_rows(number, count)
        if flush:
            for key in list(deltas)[: count // 2]:
                del deltas[key]
        frames, gathered = gather(deltas, gathered)
        assert sum(frame.height for frame in frames) == sum(map(len, deltas.values()))
        assert as_dict(frames) == as_dict(deltas.values())


def test_many_small_deltas_become_few_frames() -> None:
    deltas = {b"%d" % number: random_rows(number, 3) for number in range(300)}
    frames, gathered = gather(deltas, Gathered())
    assert len(frames) < 10
    deltas[b"more"] = random_rows(1, 3)
    again, _ = gather(deltas, gathered)
    assert any(any(frame is former for former in frames) for frame in again)

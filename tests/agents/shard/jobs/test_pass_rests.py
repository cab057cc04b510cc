"""However requests to erase come, what they copy in the archive is bounded by time, and each of
them ends.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.shard.jobs.pass_rests import FIRST, LONGEST_S, MOST, PassRests

HOUR_S = 3_600.0


def few(began: list[float], pass_s: float) -> bool:
    """Whether passes are few in every span of time: six at once, and one in 20 times their length.

    A pass copies the archive once at most: so the same bounds the bytes.
    """
    return all(
        last - first + 1 <= 6 + (began[last] - began[first]) / (20 * pass_s)
        for first in range(len(began))
        for last in range(first, len(began))
    )


@settings(max_examples=100)
@given(
    gaps=st.lists(st.floats(0, 10_000), min_size=1, max_size=60),
    pass_s=st.floats(0.1, 1_000),
)
def test_requests_share_passes_that_are_few_and_none_waits_for_ever(
    gaps: list[float], pass_s: float
) -> None:
    at = 0.0
    left = [at := at + gap for gap in gaps]
    rests, free = PassRests(), 0.0
    began: list[float] = []
    while left:
        start = max(free, left[0])
        joined = [at for at in left if at <= start]
        left = left[len(joined) :]
        began.append(start)
        assert start - joined[0] <= (MOST + 1) * pass_s * 1.001
        free = start + pass_s + rests.after(start, start + pass_s, pass_s)
    assert few(began, pass_s)


@settings(max_examples=100)
@given(pauses=st.lists(st.floats(0, 200), min_size=1, max_size=60), pass_s=st.floats(0.1, 1_000))
def test_requests_that_each_wait_for_the_one_before_get_few_passes_too(
    pauses: list[float], pass_s: float
) -> None:
    """Each comes so many times the length of a pass after the one before is over."""
    rests, free, now = PassRests(), 0.0, 0.0
    began: list[float] = []
    for pause in pauses:
        began.append(max(free, now + pause * pass_s))
        now = began[-1] + pass_s
        free = now + rests.after(began[-1], now, pass_s)
    assert few(began, pass_s)


@pytest.mark.parametrize("pass_s", [0.2, 60.0])
def test_a_request_after_a_quiet_time_waits_for_nothing(pass_s: float) -> None:
    rests, now, rest = PassRests(), 0.0, 0.0
    for times in (4, 8, 16, 32, 64, 64):
        rest = rests.after(now, now + pass_s, pass_s)
        assert rest == pytest.approx(times * pass_s)
        now += pass_s + rest
    now += MOST * pass_s
    assert rests.after(now, now + pass_s, pass_s) == FIRST * pass_s


def test_a_long_pass_rests_for_a_day_at_most() -> None:
    assert PassRests().after(0.0, 10 * HOUR_S, 10 * HOUR_S) == LONGEST_S == 24 * HOUR_S

"""Rates of shards, measured between questions."""

from agents.resources.pace import Pace
from streams.clock import ManualClock


def test_a_rate_is_known_from_the_second_question_on() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    assert pace.rate(0, 1_000) is None
    clock.advance(2_000)
    assert pace.rate(0, 1_400) == 200.0


def test_several_readers_at_once_get_the_same_rate() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    pace.rate(0, 0)
    clock.advance(2_000)
    assert pace.rate(0, 100) == 50.0
    clock.advance(500)
    assert pace.rate(0, 125) == 50.0
    assert pace.rate(0, 125) == 50.0


def test_nothing_is_said_of_long_ago_and_after_a_new_start() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    pace.rate(0, 0)
    clock.advance(61_000)
    assert pace.rate(0, 600) is None
    clock.advance(2_000)
    assert pace.rate(0, 600) == 0.0
    clock.advance(2_000)
    assert pace.rate(0, 10) is None  # the shard has started again


def test_shards_are_apart() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    pace.rate(0, 0)
    pace.rate(1, 0)
    clock.advance(1_000)
    assert (pace.rate(0, 5), pace.rate(1, 7), pace.rate(2, 9)) == (5.0, 7.0, None)

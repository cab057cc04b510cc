"""The clocks."""

import time

from streams.clock import Clock, ManualClock, SystemClock


def test_the_system_clock_is_the_time_in_milliseconds() -> None:
    clock: Clock = SystemClock()
    before = time.time() * 1000
    assert before - 1 <= clock.now_ms() <= time.time() * 1000 + 1


def test_a_manual_clock_stands_until_moved() -> None:
    clock = ManualClock(1_000)
    assert clock.now_ms() == clock.now_ms() == 1_000
    clock.advance(500)
    assert clock.now_ms() == 1_500
    clock.set(10)
    assert clock.now_ms() == 10

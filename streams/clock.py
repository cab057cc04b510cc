"""Time and chance, injected: the clock of all decisions and measurements, and random numbers.

Waiting is a matter of the event loop.
"""

import time
from random import Random, SystemRandom
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "SYSTEM_RANDOM", "Clock", "ManualClock", "SystemClock", "steady_s"]


class Clock(Protocol):
    """Gives the time of day, which may be corrected, and seconds that only go forward."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment, for durations: never less than before."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """As `time.monotonic`."""
        return time.monotonic()


SYSTEM_CLOCK: Clock = SystemClock()
SYSTEM_RANDOM: Random = SystemRandom()
"""The system's: safe for names that nobody else may have."""


class ManualClock:
    """A clock that moves only when `set` or `advance` is called: for tests and for what-if
    questions.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self._now = now_ms
        self._passed_ms = 0

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01, as last set."""
        return self._now

    def set(self, now_ms: int) -> None:
        """Set the time. Backwards is allowed, as for a clock that is corrected."""
        self._passed_ms += max(0, now_ms - self._now)
        self._now = now_ms

    def advance(self, ms: int) -> None:
        """Move the time forward by this many milliseconds."""
        self._now += ms
        self._passed_ms += ms

    def monotonic_s(self) -> float:
        """Seconds by which it has moved forward."""
        return self._passed_ms / 1000


#: The monotonic clock of Linux stands still while the machine sleeps; this one does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Seconds on a monotonic clock that also counts while the machine sleeps."""
    return time.clock_gettime(_STEADY)

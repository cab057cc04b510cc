"""The time that decisions rest on, injected; local bookkeeping asks the machine itself."""

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "steady_s"]


class Clock(Protocol):
    """Says what time it is, in UTC milliseconds since 1970."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when told to: for tests and for what-if questions."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now = now_ms

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01, as last set."""
        return self._now

    def set(self, now_ms: int) -> None:
        """Jump to a time, backwards too (a clock that was put right)."""
        self._now = now_ms

    def advance(self, ms: int) -> None:
        """Go forward by so many milliseconds."""
        self._now += ms


#: The monotonic clock of Linux stands still while the machine sleeps; this one does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Seconds on a clock that only goes forward, and on while the machine sleeps."""
    return time.clock_gettime(_STEADY)

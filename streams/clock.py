"""The clock of all decisions, injected. Local bookkeeping (timeouts, measurements) uses the
machine's clock directly.
"""

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "steady_s"]


class Clock(Protocol):
    """Gives the current time in UTC milliseconds since 1970."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when `set` or `advance` is called: for tests and for what-if
    questions.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self._now = now_ms

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01, as last set."""
        return self._now

    def set(self, now_ms: int) -> None:
        """Set the time. Backwards is allowed, as for a clock that is corrected."""
        self._now = now_ms

    def advance(self, ms: int) -> None:
        """Move the time forward by this many milliseconds."""
        self._now += ms


#: The monotonic clock of Linux stands still while the machine sleeps; this one does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Seconds on a monotonic clock that also counts while the machine sleeps."""
    return time.clock_gettime(_STEADY)

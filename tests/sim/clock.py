"""The clock of one simulated worker, or of the brokers."""

from tests.sim.loop import SimLoop

__all__ = ["EPOCH_MS", "SimClock"]

#: When a run begins: 2026-01-01, UTC.
EPOCH_MS = 1_767_225_600_000


class SimClock:
    """Follows the loop's time; the time of day is off by `offset_ms` and runs too fast by the share
    `drift`. Every clock of a run has the same seconds.
    """

    def __init__(
        self, loop: SimLoop, offset_ms: int = 0, drift: float = 0.0, epoch_ms: int = EPOCH_MS
    ) -> None:
        self._loop = loop
        self._started = loop.time()
        self._epoch_ms = epoch_ms
        self.offset_ms = offset_ms
        self.drift = drift

    def now_ms(self) -> int:
        """UTC milliseconds since 1970-01-01, as this clock has them."""
        passed = (self._loop.time() - self._started) * (1 + self.drift)
        return self._epoch_ms + self.offset_ms + int(passed * 1000)

    def jump(self, ms: int) -> None:
        """Corrects the time of day, in either direction."""
        self.offset_ms += ms

    def monotonic_s(self) -> float:
        """Virtual seconds."""
        return self._loop.time()

    def steady_s(self) -> float:
        """The same: the machine never sleeps."""
        return self._loop.time()

"""A token bucket for each caller, and a limit of attempts by address."""

from dataclasses import dataclass, field

__all__ = ["Attempts", "Bucket"]

BURST_S = 2.0
"""So many seconds' worth of requests may come at once."""
ATTEMPTS_PER_S = 5.0
MOST_ADDRESSES = 1_000


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` requests a second, `rate * BURST_S` at once."""

    rate: float
    tokens: float
    at: float

    @classmethod
    def full(cls, rate: float, now: float) -> "Bucket":
        """A bucket from which nothing has been taken. `now`: a clock's seconds."""
        return cls(rate, rate * BURST_S, now)

    def wait(self, now: float) -> float:
        """Take one token and return 0; or return the seconds until there is one. `now`: a clock's
        seconds.
        """
        self.tokens = min(self.rate * BURST_S, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


@dataclass
class Attempts:
    """Wrong keys at sign-in: `rate` a second from one address. The last `most` addresses are known;
    keys are too long to be guessed from many addresses.
    """

    rate: float = ATTEMPTS_PER_S
    most: int = MOST_ADDRESSES
    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def wait(self, address: str, now: float) -> float:
        """As `Bucket.wait`, for this address."""
        bucket = self._buckets.pop(address, None) or Bucket.full(self.rate, now)
        self._buckets[address] = bucket
        if len(self._buckets) > self.most:
            del self._buckets[next(iter(self._buckets))]
        return bucket.wait(now)

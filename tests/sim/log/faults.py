"""What the simulated cluster does wrong, and how often it did."""

from collections import Counter
from dataclasses import dataclass, fields
from random import Random

__all__ = ["NO_FAULTS", "Faults", "Rates"]


@dataclass(frozen=True, slots=True)
class Rates:
    """The probability of each fault, each time that it is possible; 0 switches it off. Fields that
    end in `_s` limit how long it lasts.

    `slow`: a request or its answer takes time, perhaps more than the client waits; the brokers
    carry it out all the same. `refused`: the brokers refuse a request for the moment. `broken`: the
    connection breaks before the request arrives, or before the answer does. `repeated`: a request
    to append arrives once more, later.

    `few`: a fetch answers with one batch only. `failed_step`: a step's records are refused for
    good. `unknown_commit`: the writer does not learn of its commit, which never arrives, has
    happened, or happens late. `late_markers`: a decided transaction stays open for readers.
    `behind`: a new leader does not know for a moment that its last records are committed.
    """

    slow: float = 0.0
    slow_s: float = 6.0
    refused: float = 0.0
    broken: float = 0.0
    repeated: float = 0.0
    repeated_s: float = 10.0
    few: float = 0.0
    failed_step: float = 0.0
    unknown_commit: float = 0.0
    unknown_commit_s: float = 20.0
    late_markers: float = 0.0
    late_markers_s: float = 5.0
    behind: float = 0.0
    behind_s: float = 1.0

    @classmethod
    def names(cls) -> list[str]:
        """All faults."""
        return [one.name for one in fields(cls) if not one.name.endswith("_s")]


NO_FAULTS = Rates()


class Faults:
    """Decides by seeded chance. `rates` may be replaced at any time; `reached` counts what
    happened: these faults, incidents, and rare states of the brokers.
    """

    def __init__(self, random: Random, rates: Rates = NO_FAULTS) -> None:
        self.random = random
        self.rates = rates
        self.reached: Counter[str] = Counter()

    def strikes(self, name: str) -> bool:
        """Whether the fault of this name happens now."""
        rate: float = getattr(self.rates, name)
        if not rate or self.random.random() >= rate:
            return False
        self.reached[name] += 1
        return True

    def reach(self, name: str) -> None:
        """Counts what has happened."""
        self.reached[name] += 1

    def within(self, most_s: float) -> float:
        """Some time up to this one: short ones and long ones of each order of magnitude."""
        return float(most_s * self.random.random() ** 2)

"""What the simulated cluster does wrong, and how often it did."""

from collections import Counter
from dataclasses import dataclass
from random import Random

__all__ = ["NO_FAULTS", "Faults", "Rates"]


@dataclass(frozen=True, slots=True)
class Rates:
    """The probability of each fault each time that it is possible; 0 switches it off."""

    slow: float = 0.0
    slow_s: float = 2.0
    refused: float = 0.0


NO_FAULTS = Rates()


class Faults:
    """Decides by seeded chance. `rates` may be replaced at any time; `reached` counts what
    happened.
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

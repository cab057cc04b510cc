"""For how long an open transaction has held records back."""

from itertools import count

from agents.shard.held_back import HeldBackAge
from streams.clock import ManualClock

A, B = ("send", 0), ("open", 0)


def test_the_age_is_that_of_the_transaction_that_has_been_open_longest() -> None:
    clock = ManualClock()
    age = HeldBackAge(clock)
    assert age.seconds == 0
    age.note([A], {A: 5, B: 1})
    clock.advance(2_000)
    age.note([A, B], {A: 5, B: 1})
    clock.advance(3_000)
    age.note([A, B], {A: 5, B: 1})
    assert age.seconds == 5
    # what was held back could be read, and another transaction is open behind it
    age.note([A, B], {A: 9, B: 1})
    assert age.seconds == 3
    age.note([], {A: 9, B: 4})
    assert age.seconds == 0


def test_without_such_a_transaction_the_age_is_never_below_nothing() -> None:
    class Running(ManualClock):
        """A clock that moves with every question."""

        steps = count()

        def monotonic_s(self) -> float:
            return float(next(self.steps))

    assert HeldBackAge(Running()).seconds == 0

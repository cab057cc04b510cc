"""Makes a failing plan smaller, as long as it still fails."""

import time
from collections.abc import Callable

from tests.sim.plan import RunPlan
from tests.sim.run import Outcome

__all__ = ["shrunk"]


def shrunk(failed: Outcome, again: Callable[[RunPlan], Outcome], limit_s: float = 120.0) -> Outcome:
    """The outcome of the smallest failing plan that was found in this time.

    It fails with an error of the same kind; the words may differ.
    """
    until = time.monotonic() + limit_s
    best = failed
    kind = _kind(failed)
    progress = True
    while progress:
        progress = False
        for plan in best.plan.smaller():
            if time.monotonic() > until:
                return best
            outcome = again(plan)
            if outcome.error and _kind(outcome) == kind:
                best, progress = outcome, True
                break
    return best


def _kind(outcome: Outcome) -> str:
    return outcome.error.partition(":")[0]

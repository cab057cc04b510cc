"""How long expiries and restores took that a step has ended. Pure."""

from collections.abc import Iterator

from agents.coordinator.rules.decision import Decision
from agents.coordinator.rules.state import CoordinatorState, Why
from streams.metrics import names
from streams.metrics.names import Metric

__all__ = ["durations"]


def durations(
    before: CoordinatorState, decision: Decision, now: int
) -> Iterator[tuple[Metric, float]]:
    """The work that is over, with its seconds. What was cancelled or has failed is left out."""
    for kind, name in decision.changed:
        old = before.sources.get(name) if kind == "source" else None
        if old is None or old.work is None:
            continue
        new = decision.state.sources[name]
        seconds = max(0, now - old.work.started_at) / 1000
        if new.epoch > old.epoch:
            yield names.EXPIRY_TIME, seconds
        elif new.restored_at != old.restored_at and old.work.origin.why is not Why.CANCELLED:
            yield names.RESTORE_TIME, seconds

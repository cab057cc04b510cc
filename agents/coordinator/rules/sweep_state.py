"""The state of the sweep, and its record in the topic `coordinator`.

It is apart from `agents.coordinator.rules.state`, because `emberline status` shows it and needs
nothing else of the coordinator.
"""

from dataclasses import dataclass
from typing import Any

from agents.coordinator.rules.checked import value_of

__all__ = ["SWEEP", "RetentionSweep", "sweep_of"]

SWEEP = "w"
"""The key of the record."""


@dataclass(frozen=True, slots=True)
class RetentionSweep:
    """The state of the regular search for due sources."""

    next_at: int = 0
    paused: bool = False
    awaiting: int = 0
    """How many sources wait for a confirmation; 0: none is asked for."""
    question: str = ""
    """Names what is to be confirmed: these sources, due at these times."""
    approved: str = ""
    """What the next sweep may start without a question, named likewise: it was confirmed, or is
    the rest of a full batch."""
    approved_to: tuple[int, str] = (0, "")
    """Due time and name of the last source that was approved."""
    skewed: bool = False
    archive_fault: str = ""
    """How the archive's topic would lose what moves to it, and the remedy: nothing expires."""


def sweep_of(plain: dict[str, Any]) -> RetentionSweep:
    """The state that a record describes, given as JSON; may take fields out of it.

    Raises one of `checked.MALFORMED` if it has another form.
    """
    # an earlier version's confirmation named nothing: it is asked for again
    if plain.pop("confirmed", None) or not plain.get("question"):
        plain.pop("awaiting", None)
    due_at, source = plain.pop("approved_to", (0, ""))
    return value_of(RetentionSweep, {**plain, "approved_to": (int(due_at), str(source))})

"""How a known fault is put back into the code, and taken out again."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

__all__ = ["PLANTED", "Place", "Planted", "plant", "planted", "short", "unasked"]

Place = tuple[Any, str]
"""An owner, and the name of its attribute."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One fault. `faulty` has what takes the place of each attribute. `mended`: the commit that
    mended it, empty if it never was in the code. `plan`: see `RunPlan.changed`.

    `found` is the number of seeds, from 0 on, within which the simulation must find the fault.
    `seed` is one of them that does, so that one run shows it.
    """

    what: str
    faulty: Mapping[Place, Any]
    found: int
    seed: int
    mended: str = ""
    plan: str = ""


_SHORT: dict[str, Any] = {
    "workers": 1,
    "partitions": 1,
    "busy_s": 20.0,
    "events": 60,
    "definitions": 12,
    "commands": 8,
    "questions": 0,
    "jumps": 6,
    "users": 4,
    "sources": 2,
    "user_records": 0,
    "erasures": 0,
    "person_questions": 0,
    "faults": [],
}
_SMALL: dict[str, Any] = {
    "segment_rows": 2,
    "own_rows": 1,
    "fan_in": 2,
    "delta_rows": 3,
    "late_rows": 1,
    "step_bytes": 2_000,
    "sweep_confirm_share": 1.0,
}


def short(**changes: Any) -> str:
    """A plan with little, in which much is on its way to the archive and back, with changes."""
    settings = _SMALL | changes.pop("settings", {})
    return json.dumps(_SHORT | changes | {"settings": settings})


async def unasked(*args: Any) -> None:
    """In the place of what waits, or asks: does nothing."""


PLANTED: dict[str, Planted] = {}
"""By title, in the order of the table in docs/guarantees.md."""


def plant(title: str, **facts: Any) -> None:
    """Add one to PLANTED."""
    PLANTED[title] = Planted(**facts)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Inside, the fault of this name is in the code; an empty name plants nothing."""
    with ExitStack() as stack:
        if name:
            for (owner, attribute), function in PLANTED[name].faulty.items():
                stack.enter_context(patch.object(owner, attribute, function))
        yield

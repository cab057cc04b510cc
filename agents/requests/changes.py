"""What has changed since a position in the two topics that every worker follows. Pure.

A position is the next offset of `lifecycle.state` and that of the coordinator's log. All workers
read the same topics, so a position of one worker means the same at any other.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from agents.coordinator.rules.state import Request
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.requests.facts import MOST_SUMMED_TOGETHER, Room, progress_facts, request_facts
from agents.views.protocol import ChangingStates
from agents.views.request_view import RequestView
from schemas.records.lifecycle import SourceState

__all__ = ["MOST_CHANGES", "Position", "changed", "running", "source_facts", "totals"]

MOST_CHANGES = 500
"""Sources and requests that one event describes each."""
_SHAPE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Position:
    """As text it is the id of an event: two numbers with a dash between."""

    states: int
    log: int

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position that a text names; None if it names none."""
        found = _SHAPE.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2]))

    def covers(self, other: "Position") -> bool:
        """Whether everything before `other` has been read."""
        return self.states >= other.states and self.log >= other.log

    def __str__(self) -> str:
        return f"{self.states}-{self.log}"


def source_facts(record: SourceState, requests: RequestView) -> dict[str, Any]:
    """A source as the lists have it, without sizes."""
    return record.to_record() | {
        "visible": not record.hidden and not record.legacy_deleted,
        "progress": progress_facts(record, requests),
    }


def changed(
    states: ChangingStates, requests: RequestView, since: Position
) -> dict[str, Any] | None:
    """The sources and requests that have changed, as they are now; None if they are too many."""
    names = _some(states.changed_since(since.states))
    moving = _some(requests.progress_since(since.log))
    asked = _some(requests.changed_since(since.log))
    if names is None or moving is None or asked is None:
        return None
    records = (states.get(name) for name in dict.fromkeys((*names, *moving)))
    known, room = (requests.get(name) for name in asked), Room(MOST_SUMMED_TOGETHER)
    return {
        "sources": [source_facts(one, requests) for one in records if one is not None],
        "requests": [_for_all(one, requests, states, room) for one in known if one is not None],
    }


def running(states: ChangingStates, requests: RequestView) -> list[dict[str, Any]]:
    """The newest of the requests that run."""
    room = Room(MOST_SUMMED_TOGETHER)
    return [_for_all(one, requests, states, room) for one in requests.running()[-MOST_CHANGES:]]


def totals(states: ChangingStates, requests: RequestView, sweep: RetentionSweep) -> dict[str, Any]:
    """Sources by state, running requests, and the state of the sweep."""
    return {
        "sources": states.counts(),
        "requests_running": len(requests.running()),
        "sweep": {
            "paused": sweep.paused,
            "suspended": sweep.skewed,
            "awaiting": sweep.awaiting,
            "confirm": sweep.question or None,
        },
    }


def _for_all(
    request: Request, view: RequestView, states: ChangingStates, room: Room
) -> dict[str, Any]:
    """A request as every listener may see it: the addresses of recipients are not for all."""
    return request_facts(request, view, states, room) | {"notify": None}


def _some(names: Iterable[str]) -> list[str] | None:
    found = list(islice(names, MOST_CHANGES + 1))
    return None if len(found) > MOST_CHANGES else found

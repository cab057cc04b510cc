"""The profile-wide rows that events make, in plain Python: the rules of `schemas.tables.profile` a
second time.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from agents.tools.oracle import Expected, Interactions

__all__ = ["PROFILE", "wide_rows"]

PROFILE = "@"


def wide_rows(events: Iterable[tuple[str, Mapping[str, Any]]]) -> Interactions:
    """The rows of valid `(kind, event)` pairs: step has the origin, variation whether it says that
    a fact does not hold any more.
    """
    rows: Interactions = {}
    for name, event in events:
        origin = _origin(event)
        if name == "signal":
            kind = event["signal_type"].lower()
            cleared = "cleared" if event.get("cleared") else None
            _add(rows, event, (kind, None, origin, cleared, event.get("value")))
            continue
        # what happens to a user is the same with a source and without one
        made = Expected()
        made.add(name, {**event, "campaign_id": "any", "canvas_id": None})
        for _, _, kind, channel, _, _, detail in made.interactions:
            _add(rows, event, (kind, channel, origin, None, detail))
    return rows


def _origin(event: Mapping[str, Any]) -> str | None:
    for origin in ("campaign", "canvas"):
        if event.get(f"{origin}_id") is not None:
            return origin
    return None


def _add(
    rows: Interactions,
    event: Mapping[str, Any],
    rest: tuple[str, str | None, str | None, str | None, str | None],
) -> None:
    key, time = (PROFILE, event["user_id"], *rest), event["time"]
    first, last = rows.get(key, (time, time))
    rows[key] = (min(first, time), max(last, time))

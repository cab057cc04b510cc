"""The oracle: the interactions that a set of events must make, in plain Python dictionaries.

The demo, the fault tests and the benchmarks compare a worker with it. It shares no code with the
worker: it imports neither `schemas` nor Polars, and implements every rule of the contract a second
time.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

__all__ = ["Expected", "Interactions", "Key", "counts", "expect", "refusal", "row_key", "rows_of"]

Key: TypeAlias = tuple[str, str, str, str | None, str | None, str | None, str | None]
"""(source, user, kind, channel, step, variation, detail)"""

Interactions: TypeAlias = dict[Key, tuple[int, int]]
"""Key -> (first, last), integer milliseconds."""

Event: TypeAlias = Mapping[str, Any]

EARLIEST_MS = 946_684_800_000
"""2000-01-01: a time before it is a sign of seconds where milliseconds were meant."""
DAY_MS = 86_400_000
LONGEST_FIELD = 512


def refusal(event: Event, broker_ms: int, longest: int = LONGEST_FIELD) -> str | None:
    """The code with which the contract rejects this decoded event, None where it is valid.

    `broker_ms` is the timestamp of the record that carries the event.
    """
    if not isinstance(event.get("id"), str) or not isinstance(event.get("user_id"), str):
        return "missing_field"
    if not isinstance(event.get("time"), int):
        return "missing_field"
    if any(isinstance(v, str) and len(v.encode()) > longest for v in event.values()):
        return "too_long"
    if event.get("campaign_id") is not None and event.get("canvas_id") is not None:
        return "two_sources"
    if not EARLIEST_MS <= event["time"] <= broker_ms + DAY_MS:
        return "bad_time"
    return None


def _kinds(name: str, event: Event) -> tuple[str, ...]:
    """The interaction kinds an event makes; none for a signal."""
    if name == "send":
        return ("received",)
    if name == "open":
        return ("machine_opened",) if event.get("machine_open") else ("opened",)
    if name == "click":
        return ("bot_clicked",) if event.get("is_suspected_bot_click") else ("clicked",)
    if name == "variant":
        if event.get("exited"):
            return ("exited",)
        return ("control", "entered") if event.get("in_control_group") else ("entered",)
    if name == "conversion":
        return ("converted",)
    return ()


def _detail(name: str, event: Event) -> str | None:
    if name == "click":
        return event.get("link_alias")
    if name == "conversion":
        return str(event.get("conversion_behavior_index") or 0)
    return None


class Expected:
    """Interactions of events; `add` may be called in any order, with repeats."""

    def __init__(self) -> None:
        self.interactions: Interactions = {}
        self.users: set[str] = set()
        self.events = 0

    def add(self, name: str, event: Event) -> None:
        """Fold one valid event of the type `name` (send, open, click, ...)."""
        self.events += 1
        user: str = event["user_id"]
        self.users.add(user)
        campaign, canvas = event.get("campaign_id"), event.get("canvas_id")
        if campaign is not None:
            source, variation = (
                f"campaign:{campaign.removeprefix('campaign:')}",
                event.get("message_variation_id"),
            )
        elif canvas is not None:
            source, variation = (
                f"canvas:{canvas.removeprefix('canvas:')}",
                event.get("canvas_variation_id"),
            )
        else:
            return
        channel = None
        if name in ("send", "open", "click"):
            channel = event.get("channel") or "OTHER"
        step, detail, time = event.get("canvas_step_id"), _detail(name, event), event["time"]
        for kind in _kinds(name, event):
            key = (source, user, kind, channel, step, variation, detail)
            known = self.interactions.get(key)
            if known is None:
                self.interactions[key] = (time, time)
            elif time < known[0] or time > known[1]:
                self.interactions[key] = (min(time, known[0]), max(time, known[1]))


def expect(events: Iterable[tuple[str, Event]]) -> Interactions:
    """The interactions that valid `(name, event)` pairs make."""
    expected = Expected()
    for name, event in events:
        expected.add(name, event)
    return expected.interactions


def counts(interactions: Interactions) -> dict[str, int]:
    """Source -> number of its interactions."""
    result: dict[str, int] = {}
    for key in interactions:
        result[key[0]] = result.get(key[0], 0) + 1
    return result


def row_key(row: Mapping[str, Any]) -> Key:
    """The key of a row as `/interactions` exports it."""
    return (
        row["source"], row["user"], row["kind"], row.get("channel"),
        row.get("step"), row.get("variation"), row.get("detail"),
    )  # fmt: skip


def rows_of(interactions: Interactions, source: str) -> Interactions:
    """The part of `interactions` that belongs to one source."""
    return {key: span for key, span in interactions.items() if key[0] == source}

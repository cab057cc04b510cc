"""The JSON of a request; docs/operating.md explains each member. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from agents.coordinator.rules.state import Request, RequestResult
from agents.requests.commands import Sent
from agents.views.protocol import SourceLookup
from agents.views.request_view import RequestView
from schemas.records.lifecycle import HIDDEN, Outcome, SourceState, State

__all__ = ["STATES", "part_facts", "request_facts", "sent_facts", "state_of"]

STATES = ("sent", "running", "finished", "failed")
_COUNTS = ("running", "completed", "already", "refused", "failed")
_BECAUSE = {
    State.ACTIVE: "it is active",
    State.HELD: "it is held",
    State.UNKNOWN: "it has no definition",
}


def state_of(request: Request, view: RequestView) -> str:
    """`running`, `finished` or `failed`."""
    whole = request.whole
    if whole is None or not whole.outcome.final:
        return "running"
    counts = _counts(request, view)
    if counts["refused"] or counts["failed"]:
        return "failed"
    told_of_sources = counts["total"] > 0
    return "finished" if told_of_sources or whole.outcome is Outcome.COMPLETED else "failed"


def request_facts(request: Request, view: RequestView) -> dict[str, Any]:
    """A request without its parts."""
    whole = request.whole
    counts = _counts(request, view)
    nothing_else = counts["total"] > 0 and counts["already"] == counts["total"]
    return {
        "request_id": request.request_id,
        "type": request.type,
        "state": state_of(request, view),
        "time": request.time,
        "changed_at": request.time if whole is None else whole.time,
        "actor": request.actor,
        "reason": request.reason,
        "tag": request.tag,
        "dry_run": request.dry_run,
        "notify": list(request.notify),
        "code": None if whole is None or nothing_else else whole.code,
        "message": "" if whole is None else whole.message,
        "already": nothing_else or (whole is not None and whole.already),
        "counts": counts,
        "progress": None,
    }


def sent_facts(sent: Sent) -> dict[str, Any]:
    """A request that the coordinator has not yet read, as far as is known."""
    command = sent.command
    return {
        "request_id": command.request_id,
        "type": command.type,
        "state": "sent",
        "time": sent.time,
        "changed_at": sent.time,
        "actor": command.who,
        "reason": command.reason,
        "tag": command.tag,
        "dry_run": command.dry_run,
        "notify": list(command.recipients),
        "code": None,
        "message": "the coordinator has not answered yet: the command stays in the topic",
        "already": False,
        "counts": {"total": 0, **dict.fromkeys(_COUNTS, 0)},
        "progress": None,
    }


def part_facts(
    parts: Iterable[tuple[str, RequestResult]], states: SourceLookup
) -> list[dict[str, Any]]:
    """The last result of each source, and the source's state."""
    return [_part(source, told, states.get(source)) for source, told in parts]


def _part(source: str, told: RequestResult, record: SourceState | None) -> dict[str, Any]:
    until, because = _available(record)
    return {
        "source": source,
        "name": "" if record is None else record.name,
        "state": None if record is None else record.state.value,
        "outcome": told.outcome.value,
        "code": told.code,
        "already": told.already,
        "message": told.message,
        "time": told.time,
        "progress": None,
        "available_until": until,
        "available_because": because,
    }


def _available(record: SourceState | None) -> tuple[int | None, str | None]:
    """Until when a source's data is available, or why there is no such date."""
    if record is None or record.state in HIDDEN or record.legacy_deleted:
        return None, None
    if record.due_at is not None:
        return record.due_at, None
    if record.exempt_by:
        return None, f"{record.exempt_by[0].root} uses it"
    return None, _BECAUSE.get(record.state, "nothing says when")


def _counts(request: Request, view: RequestView) -> Mapping[str, int]:
    tally = view.tally(request.request_id)
    found = {name: tally[name] for name in _COUNTS}
    found["already"] += request.untold_already
    found["refused"] += request.untold - request.untold_already
    return {"total": sum(found.values()), **found}

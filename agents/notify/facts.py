"""What is worth telling in the coordinator's log, and the data of each notice. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from agents.coordinator.rules import ledger
from agents.coordinator.rules.state import Request, RequestResult, Source
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.requests.facts import part_facts, request_facts
from agents.views.protocol import SourceLookup
from agents.views.request_view import RequestView
from schemas.records.lifecycle import CommandType, Outcome
from streams.kafka.foreign_records import own_key

__all__ = [
    "MOVES",
    "digest_data",
    "finished_request",
    "request_data",
    "soon_item",
    "source_facts",
    "stuck_item",
    "sweep_question",
]

MOST_SOURCES = 100
"""Sources that one notice names."""
NAME_LENGTH = 200
REASON_LENGTH = 1_000
MOVES = (CommandType.RESTORE, CommandType.EXPIRE)
"""Requests that take time: others than those named in `notify` are told of these only."""


def finished_request(key: bytes | None, value: bytes | None) -> Request | None:
    """The request in a record of the coordinator's log, if it is over. Raises ledger.Unreadable."""
    name = own_key(key) or ""
    if not name.startswith("r/") or value is None or not ledger.known(name):
        return None
    request: Request = ledger.parsed(name, value)
    over = request.whole is not None and request.whole.outcome.final
    return request if over and request.request_id == name[2:] else None


def source_facts(key: bytes | None, value: bytes | None, told: Mapping[str, int]) -> Source | None:
    """The source in a record, if its work is stuck or was told to be. Raises ledger.Unreadable."""
    name = own_key(key) or ""
    if not name.startswith("s/") or value is None or not ledger.known(name):
        return None
    if b'"stuck"' not in value and name[2:] not in told:
        return None
    found: Source = ledger.parsed(name, value)
    return found


def sweep_question(key: bytes | None, value: bytes | None) -> RetentionSweep | None:
    """The sweep in a record. Raises ledger.Unreadable."""
    if own_key(key) != ledger.SWEEP or value is None:
        return None
    found: RetentionSweep = ledger.parsed(ledger.SWEEP, value)
    return found


def request_data(request: Request, view: RequestView, states: SourceLookup) -> dict[str, Any]:
    """A request that is over; the sources that failed come first."""
    facts = request_facts(request, view, states)
    for name in ("progress", "notify", "first"):
        del facts[name]
    facts["reason"] = None if facts["reason"] is None else facts["reason"][:REASON_LENGTH]
    parts = view.parts(request.request_id)
    named = sorted(parts, key=lambda name: (_good(parts[name]), name))[:MOST_SOURCES]
    sources = part_facts(request, named, view, states)
    for one in sources:
        del one["progress"]
        one["name"] = one["name"][:NAME_LENGTH]
    return {**facts, "sources": sources, "more": max(0, facts["counts"]["total"] - len(named))}


def _good(result: RequestResult) -> bool:
    return result.already or result.outcome is Outcome.COMPLETED


def soon_item(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a digest keeps of a record of `lifecycle.expiring-soon`."""
    names = ("source", "due_at", "days_left", "notice", "time")
    return {name: event[name] for name in names} | {"name": event["name"][:NAME_LENGTH]}


def stuck_item(source: Source) -> dict[str, Any]:
    """What a notice has of a source whose work is stuck."""
    work = source.work
    return {
        "source": source.source,
        "name": source.name[:NAME_LENGTH],
        "state": source.state.value,
        "since": 0 if work is None else work.started_at,
        "shards": list(() if work is None else work.stuck),
        "message": source.message,
    }


def digest_data(items: Iterable[Mapping[str, Any]], order: str) -> dict[str, Any]:
    """The data of a notice of collected facts, in the order of one of their members."""
    found = sorted(items, key=lambda one: (one[order], one["source"]))
    return {
        "total": len(found),
        "sources": found[:MOST_SOURCES],
        "more": max(0, len(found) - MOST_SOURCES),
    }

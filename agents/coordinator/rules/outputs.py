"""The outputs of the coordinator: records for the outbound topics, each with its event id.

An event id is a hash of the parts that identify the fact (source, epoch, kind, version, request),
so the same fact sent again has the same id.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.coordinator.rules.bounds import clipped
from agents.coordinator.rules.state import RequestResult, Source, Totals, Why, Work
from schemas.records.lifecycle import State

__all__ = ["Output", "audit", "event_id", "expired", "expiring_soon", "restored", "result", "state"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Output:
    """One record: `topic` is an attribute of `Topics`, `schema` the name for the codec. `trace` is
    the trace context of what caused it, empty if there is none.
    """

    topic: str
    schema: str
    key: str | None
    record: Mapping[str, Any]
    trace: str = ""


def event_id(*parts: object) -> str:
    """32 hex digits that depend only on the parts."""
    text = "\x1f".join("" if part is None else str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def state(source: Source) -> Output:
    """The present record of a source."""
    return Output("state", "state", source.source, source.shown().to_record())


def expired(source: Source, work: Work) -> Output:
    """The data of `source` (as it is now: EXPIRED) has moved to the archive."""
    return Output(
        "expired",
        "expired",
        source.source,
        {
            "event_id": event_id("expired", source.source, source.epoch),
            **_named(source),
            "stopped_at": source.stopped_at,
            "due_at": work.due_at,
            "expired_at": source.expired_at,
            "reason": "operator" if work.origin.why is Why.OPERATOR else "retention",
            **_sizes(source.archived),
        },
    )


def restored(source: Source, work: Work, totals: Totals) -> Output:
    """The data of `source` (as it is now: visible) is available again."""
    return Output(
        "restored",
        "restored",
        source.source,
        {
            "event_id": event_id("restored", source.source, source.epoch),
            **_named(source),
            "request_id": work.origin.request_id,
            "requested_by": work.origin.by or None,
            "requested_at": work.origin.at,
            "restored_at": source.restored_at,
            **_sizes(totals),
            "late_interactions": totals.late_interactions,
            "due_at": source.due_at,
        },
    )


def expiring_soon(source: Source, due_at: int, notice: str, now: int) -> Output:
    """The data of `source` will move to the archive at `due_at`."""
    return Output(
        "expiring_soon",
        "expiring_soon",
        source.source,
        {
            "event_id": event_id("expiring_soon", source.source, source.epoch, due_at, notice),
            **_named(source),
            "due_at": due_at,
            "days_left": -(-(due_at - now) // _DAY_MS),
            "notice": notice,
            "time": now,
        },
    )


def result(
    request_id: str, source: str | None, reported: RequestResult, *, about: str = ""
) -> Output:
    """The result of a request (`source` null) or of one source in it.

    `about` distinguishes a second command under the same id from the request itself.
    """
    identity = (
        request_id,
        source,
        reported.outcome,
        reported.code,
        reported.done,
        *filter(None, [about]),
    )
    return Output(
        "control_results",
        "result",
        request_id,
        {
            "event_id": event_id("result", *identity),
            "request_id": request_id,
            "source": source,
            "outcome": reported.outcome.value,
            "code": reported.code,
            "message": clipped(reported.message),
            "done": reported.done,
            "total": reported.total,
            "time": reported.time,
        },
    )


def audit(
    source: str | None,
    decision: str,
    now: int,
    *,
    from_state: State | None = None,
    to_state: State | None = None,
    version: int | None = None,
    by: str | None = None,
    reason: str | None = None,
    detail: str | None = None,
    request_id: str | None = None,
) -> Output:
    """One decision or refusal, with its reason."""
    return Output(
        "audit",
        "audit",
        source,
        {
            "event_id": event_id(
                "audit", source, decision, version, request_id, reason, detail, now
            ),
            "source": source,
            "time": now,
            "decision": decision,
            "from_state": from_state and from_state.value,
            "to_state": to_state and to_state.value,
            "version": version,
            "by": by,
            "reason": clipped(reason),
            "detail": clipped(detail),
            "request_id": request_id,
        },
    )


def _named(source: Source) -> dict[str, Any]:
    return {
        "source": source.source,
        "name": source.name,
        "tags": list(source.tags),
        "epoch": source.epoch,
    }


def _sizes(totals: Totals) -> dict[str, Any]:
    return {
        "interactions": totals.interactions,
        "bytes": totals.bytes,
        "segments": totals.segments,
        "checksum": totals.checksum,
    }

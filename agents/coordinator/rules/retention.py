"""Computes the due time of a source, and its state while it is visible."""

from dataclasses import dataclass, replace

from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.state import Source
from schemas.records.lifecycle import State, Status
from streams.period import Period, add_ms

__all__ = ["SINCE", "DueReason", "base", "due", "due_reason", "periods", "with_own_state"]

SINCE = {
    "deleted": "deleted",
    "stopped": "stopped",
    "restored": "restored",
    "imported": "imported",
    "the policy took effect": "policy",
    "last use ended": "released",
}
"""What a reason of a due time says the retention runs from, and its code."""


@dataclass(frozen=True, slots=True)
class DueReason:
    """A reason of a due time for programs: the code of what the retention runs from (`SINCE`), and
    the retention, such as `P3M`.
    """

    since: str
    period: str


def due_reason(text: str | None) -> DueReason | None:
    """What a reason that `due` gave says; None for another text."""
    what, then, period = (text or "").partition(", then ")
    return DueReason(SINCE[what], period) if then and what in SINCE else None


def periods(source: Source, policy: Policy) -> tuple[Period, ...]:
    """The retentions that apply to a source: the general one, and those of its tags and its
    kind.
    """
    by_tag = tuple(
        policy.retention_by_tag[tag] for tag in source.tags if tag in policy.retention_by_tag
    )
    by_kind = policy.retention_by_kind.get(source.kind)
    return (policy.retention, *by_tag, *((by_kind,) if by_kind is not None else ()))


def base(source: Source, policy: Policy) -> tuple[int, str]:
    """The moment from which the retention runs (UTC ms), and what happened then.

    Times of events do not count, so an import of old events lets nothing expire early.
    """
    moments = [
        (source.stopped_at, "deleted" if source.deleted else "stopped"),
        (source.restored_at, "restored"),
        (source.imported_at, "imported"),
        (policy.policy_effective_at, "the policy took effect"),
    ]
    if policy.count_last_use:
        moments.append((source.released_at, "last use ended"))
    return max((when, why) for when, why in moments if when is not None)


def due(source: Source, policy: Policy) -> tuple[int, str]:
    """The due time of a stopped source (UTC ms), and its reason. The longest retention counts."""
    start, why = base(source, policy)
    when, period = max((add_ms(start, period), str(period)) for period in periods(source, policy))
    return when, f"{why}, then {period}"


def with_own_state(source: Source, policy: Policy) -> Source:
    """A visible source with the state and due time that follow from its own facts.

    A draft is as hot as an active source. HELD takes precedence over EXEMPT, because an operator
    decided the hold, and it outlasts the exemption.
    """
    if not source.defined:
        state = State.UNKNOWN
    elif source.status is not None and not Status(source.status).stopped:
        state = State.ACTIVE
    elif source.held is not None:
        state = State.HELD
    elif source.exempt_by:
        state = State.EXEMPT
    else:
        when, why = due(source, policy)
        return replace(source, state=State.STOPPED, due_at=when, due_because=why)
    # most sources of a large catalog do not change, and a copy is what costs most here
    if source.state is state and source.due_at is None and source.due_because is None:
        return source
    return replace(source, state=state, due_at=None, due_because=None)

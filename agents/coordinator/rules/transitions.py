"""The four steps of a source's way to the archive and back."""

from dataclasses import replace

from agents.coordinator.rules import outputs
from agents.coordinator.rules.decision import Draft
from agents.coordinator.rules.reconcile import settle
from agents.coordinator.rules.requests import finish
from agents.coordinator.rules.state import Origin, Source, Why, Work
from schemas.records.lifecycle import Outcome, State

__all__ = ["expired", "restore_later", "restored", "start_expiring", "start_restoring"]


def start_expiring(draft: Draft, source: Source, origin: Origin) -> Source:
    """Hide a source and let every shard move it to the archive."""
    # from here on counted anew: what was late before is archived with the rest
    source = replace(source, archived=replace(source.archived, late_interactions=0))
    return _start(draft, source, State.EXPIRING, origin)


def start_restoring(draft: Draft, source: Source, origin: Origin) -> Source:
    """Let every shard bring an expired source back."""
    return _start(draft, source, State.RESTORING, origin)


def restore_later(draft: Draft, source: Source, origin: Origin) -> Source:
    """Restore a source once it has expired: half-way back is no safer than all the way."""
    draft.audit(
        source,
        "restore_after_expiry",
        by=origin.actor,
        reason=origin.why.value,
        request_id=origin.request_id,
    )
    return draft.put(replace(source, work=replace(_work(source), then_restore=origin)))


def expired(draft: Draft, source: Source) -> Source:
    """Every shard has dropped its part. A cancelled restore makes neither epoch nor event."""
    work = _work(source)
    archived = work.totals
    late = max(archived.late_interactions, source.archived.late_interactions)
    archived = replace(archived, late_interactions=late)
    source = replace(source, state=State.EXPIRED, archived=archived)
    source = replace(source, work=None, message=None)
    again = work.origin.why is Why.CANCELLED
    if not again:
        source = replace(source, epoch=source.epoch + 1, expired_at=draft.now)
    source = draft.put(source)
    draft.audit(
        source,
        "restore_cancelled" if again else "expired",
        from_state=State.EXPIRING,
        to_state=State.EXPIRED,
        reason=work.origin.why.value,
        request_id=work.origin.request_id,
    )
    if not again:
        draft.say(outputs.expired(source, work))
    finish(draft, work.origin.request_id, source.source, Outcome.COMPLETED, "in the archive")
    if work.then_restore is not None:
        source = start_restoring(draft, source, work.then_restore)
    return source


def restored(draft: Draft, source: Source) -> Source:
    """Every shard has verified its part: the source is visible again, all of it at once.

    A cancelled expiry makes no event.
    """
    work = _work(source)
    totals = work.totals
    # settle decides which visible state it comes back to
    source = replace(
        source,
        state=State.UNKNOWN,
        restored_at=draft.now,
        archived=totals,
        work=None,
        message=None,
    )
    source = settle(draft, source)
    if work.origin.why is Why.CANCELLED:
        # that it was about to expire has been told to nobody, nor is that it does not
        draft.audit(source, "expiry_cancelled", by=work.origin.actor)
    else:
        draft.say(outputs.restored(source, work, totals))
    finish(draft, work.origin.request_id, source.source, Outcome.COMPLETED, "available again")
    return source


def _start(draft: Draft, source: Source, state: State, origin: Origin) -> Source:
    work = Work(
        origin=origin,
        started_at=draft.now,
        deadline=draft.now + draft.policy.shard_deadline_ms,
        due_at=source.due_at,
    )
    former = source.state
    source = replace(source, state=state, work=work, due_at=None, due_because=None, message=None)
    source = draft.put(source)
    draft.audit(
        source,
        state.value.lower(),
        from_state=former,
        to_state=state,
        by=origin.actor,
        reason=origin.why.value,
        request_id=origin.request_id,
    )
    return source


def _work(source: Source) -> Work:
    if source.work is None:
        raise ValueError(f"{source.source} is {source.state}: no shard works on it")
    return source.work

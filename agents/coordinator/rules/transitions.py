"""The four transitions of a source to the archive and back."""

from dataclasses import replace

from agents.coordinator.rules import outputs
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.reconcile import reconcile
from agents.coordinator.rules.requests import finish
from agents.coordinator.rules.state import Source, Why, Work, WorkOrigin
from schemas.records.lifecycle import Failure, Outcome, State

__all__ = [
    "expired",
    "restore_failed",
    "restore_later",
    "restored",
    "start_expiring",
    "start_restoring",
]

_RETURNS = frozenset({Why.CANCELLED, Why.FAILED})
"""Why a source goes back to the archive after a restore."""


def start_expiring(builder: DecisionBuilder, source: Source, origin: WorkOrigin) -> Source:
    """Hide a source and let every shard move it to the archive."""
    # late rows are counted again from here: earlier ones are archived with the rest
    source = replace(source, archived=replace(source.archived, late_interactions=0))
    return _start(builder, source, State.EXPIRING, origin)


def restore_failed(builder: DecisionBuilder, source: Source, failure: Failure) -> Source:
    """A shard cannot bring its part back: the source returns to the archive in every shard, so that
    no part of it stays hot, and a person mends the archive and restores it again.
    """
    work = _work(source)
    request_id = work.origin.request_id
    builder.audit(
        source,
        "restore_failed",
        by=work.origin.actor,
        reason=failure.code,
        detail=failure.sentence(),
        request_id=request_id,
    )
    finish(
        builder,
        request_id,
        source.source,
        Outcome.FAILED,
        failure.sentence(),
        code=failure.code,
    )
    # an expiry that was to be undone happens after all, and is announced
    undone = work.origin.why is Why.CANCELLED
    origin = WorkOrigin(Why.OPERATOR if undone else Why.FAILED, builder.now)
    return builder.put(replace(start_expiring(builder, source, origin), failure=failure))


def start_restoring(builder: DecisionBuilder, source: Source, origin: WorkOrigin) -> Source:
    """Let every shard bring an expired source back."""
    return _start(builder, source, State.RESTORING, origin)


def restore_later(builder: DecisionBuilder, source: Source, origin: WorkOrigin) -> Source:
    """Restore a source once its expiry has finished, because reversing an expiry half-way is no
    safer.
    """
    builder.audit(
        source,
        "restore_after_expiry",
        by=origin.actor,
        reason=origin.why.value,
        request_id=origin.request_id,
    )
    return builder.put(replace(source, work=replace(_work(source), then_restore=origin)))


def expired(builder: DecisionBuilder, source: Source) -> Source:
    """Every shard has dropped its part. A restore that was cancelled, or has failed, makes neither
    epoch nor event.
    """
    work = _work(source)
    archived = work.totals
    late = max(archived.late_interactions, source.archived.late_interactions)
    archived = replace(archived, late_interactions=late)
    source = replace(source, state=State.EXPIRED, archived=archived)
    source = _forgotten(builder, source)
    again = work.origin.why in _RETURNS
    if not again:
        source = replace(source, epoch=source.epoch + 1, expired_at=builder.now)
    source = builder.put(source)
    builder.audit(
        source,
        "returned_to_archive"
        if work.origin.why is Why.FAILED
        else ("restore_cancelled" if again else "expired"),
        from_state=State.EXPIRING,
        to_state=State.EXPIRED,
        reason=work.origin.why.value,
        request_id=work.origin.request_id,
    )
    if not again:
        builder.emit(outputs.expired(source, work))
    finish(builder, work.origin.request_id, source.source, Outcome.COMPLETED, "in the archive")
    if work.then_restore is not None:
        source = start_restoring(builder, source, work.then_restore)
    return source


def restored(builder: DecisionBuilder, source: Source) -> Source:
    """Every shard has verified its part: the source becomes visible in all shards at once.

    A cancelled expiry makes no event.
    """
    work = _work(source)
    totals = work.totals
    # reconcile decides which visible state it comes back to
    source = replace(
        source, state=State.UNKNOWN, restored_at=builder.now, archived=totals, failure=None
    )
    source = _forgotten(builder, source)
    source = reconcile(builder, source)
    if work.origin.why is Why.CANCELLED:
        # its expiry was not announced, so its end is not announced either
        builder.audit(source, "expiry_cancelled", by=work.origin.actor)
    else:
        builder.emit(outputs.restored(source, work, totals))
    finish(builder, work.origin.request_id, source.source, Outcome.COMPLETED, "available again")
    return source


def _start(builder: DecisionBuilder, source: Source, state: State, origin: WorkOrigin) -> Source:
    work = Work(
        origin=origin,
        started_at=builder.now,
        deadline=builder.now + builder.policy.shard_deadline_ms,
        due_at=source.due_at,
    )
    former = source.state
    source = replace(
        source,
        state=state,
        work=work,
        due_at=None,
        due_because=None,
        message=None,
        failure=None,
    )
    with builder.caused_by(origin.trace):
        source = builder.put(source)
        builder.audit(
            source,
            state.value.lower(),
            from_state=former,
            to_state=state,
            by=origin.actor,
            reason=origin.why.value,
            request_id=origin.request_id,
        )
    return source


def _forgotten(builder: DecisionBuilder, source: Source) -> Source:
    """The source without its work, whose progress, if it was written, is deleted."""
    if source.work is not None and source.work.shown_at:
        builder.put_progress(source.source)
    return replace(source, work=None, message=None)


def _work(source: Source) -> Work:
    if source.work is None:
        raise ValueError(f"{source.source} is {source.state}: no shard works on it")
    return source.work

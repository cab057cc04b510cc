"""The retention sweep decides that sources expire: at every interval it announces sources that are
due soon, and expires sources that are due.

A sweep of too many sources asks for a confirmation. Such a sweep has an ID, computed from the
sources and their due times; a confirmation names the ID and is valid for exactly these.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from agents.coordinator.rules import outputs, requests
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.reports import overdue
from agents.coordinator.rules.retention import base, periods
from agents.coordinator.rules.state import CoordinatorState, Source, Why, WorkOrigin
from agents.coordinator.rules.transitions import start_expiring
from schemas.records.lifecycle import VISIBLE, State
from schemas.words.plural import plural
from streams.period import add_ms, milliseconds

__all__ = ["archive_fault", "name_of", "tick", "wait_ms"]

_NAMED = 20
"""Sources that are named where a sweep asks."""


def wait_ms(state: CoordinatorState, now: int, policy: Policy) -> int:
    """Milliseconds until the next tick is needed, 0 if it is needed now."""
    next_at = state.sweep.next_at
    if next_at > now + policy.sweep_interval_ms:
        return 0
    deadlines = (source.work.deadline for source in state.sources.values() if source.work)
    return max(0, min(next_at, min(deadlines, default=next_at)) - now)


def tick(builder: DecisionBuilder, skew_ms: int | None) -> None:
    """Process the passing of time: check overdue shards, and sweep if the interval has passed."""
    overdue(builder)
    interval = builder.policy.sweep_interval_ms
    # A clock that was set back must not put off the sweep until it has caught up
    if builder.now < builder.sweep.next_at <= builder.now + interval:
        return
    builder.put_sweep(next_at=builder.now + interval)
    requests.forget_old(builder)
    if _skewed(builder, skew_ms):
        return
    stopped = [source for source in builder.sources.values() if source.state is State.STOPPED]
    for source in stopped:
        _announce(builder, source)
    if not builder.sweep.paused and not builder.sweep.archive_fault:
        _expire(builder, [source for source in stopped if _due(source) <= builder.now])


def archive_fault(builder: DecisionBuilder, what: str) -> None:
    """Let nothing expire while the archive would lose it: `what` says how, and the remedy."""
    if what == builder.sweep.archive_fault:
        return
    # what was due meanwhile expires at once when the archive is safe again
    builder.put_sweep(archive_fault=what, next_at=0 if not what else builder.sweep.next_at)
    builder.audit(
        None,
        "sweep_suspended" if what else "sweep_continued",
        reason=what or "the archive keeps what moves to it",
    )


def _due(source: Source) -> int:
    if source.due_at is None:
        raise ValueError(f"{source.source} is STOPPED without a due time")
    return source.due_at


def _skewed(builder: DecisionBuilder, skew_ms: int | None) -> bool:
    skewed = skew_ms is not None and abs(skew_ms) > builder.policy.clock_skew_ms
    if skewed is not builder.sweep.skewed:
        builder.put_sweep(skewed=skewed)
        builder.audit(
            None,
            "sweep_suspended" if skewed else "sweep_continued",
            reason=f"the broker's clock and ours differ by {skew_ms} ms"
            if skewed
            else "the broker's clock and ours agree again",
        )
    return skewed


def _announce(builder: DecisionBuilder, source: Source) -> None:
    """Announce the nearest notice period that has begun; farther ones that were missed are
    skipped.
    """
    due_at = _due(source)
    if due_at <= builder.now:
        return
    start, _ = base(source, builder.policy)
    shortest = min(add_ms(start, period) for period in periods(source, builder.policy))
    come = sorted(
        (ahead, str(period))
        for period in builder.policy.expiring_soon
        # A retention shorter than the notice leaves no time to give it in
        if (ahead := milliseconds(period)) <= shortest - start and due_at - ahead <= builder.now
    )
    if not come or come[0][1] in source.noticed:
        return
    noticed = tuple(dict.fromkeys((*source.noticed, *(notice for _, notice in come))))
    source = builder.put(replace(source, noticed=noticed))
    builder.emit(outputs.expiring_soon(source, due_at, come[0][1], builder.now))


def _expire(builder: DecisionBuilder, due: list[Source]) -> None:
    if not due:
        _forget(builder)
        return
    due.sort(key=_order)
    approved = _approved(builder, due)
    if approved is None:
        hot = sum(source.state in VISIBLE for source in builder.sources.values())
        if len(due) > builder.policy.sweep_confirm_share * hot:
            _ask(builder, due, hot)
            return
        approved = due
    now, later = approved[: builder.policy.sweep_batch], approved[builder.policy.sweep_batch :]
    for source in now:
        start_expiring(builder, source, WorkOrigin(Why.RETENTION, builder.now))
    # The rest of one sweep was judged with it: it goes on at once, without another question
    builder.put_sweep(
        awaiting=0,
        question="",
        approved=name_of(later) if later else "",
        approved_to=_order(later[-1]) if later else (0, ""),
        next_at=builder.now if later else builder.sweep.next_at,
    )


def _order(source: Source) -> tuple[int, str]:
    return _due(source), source.source


def name_of(due: Iterable[Source]) -> str:
    """The ID of a sweep of these sources with these due times; any change in them gives
    another ID.
    """
    text = "\n".join(f"{_due(source)} {source.source}" for source in due)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _approved(builder: DecisionBuilder, due: list[Source]) -> list[Source] | None:
    """The approved part of the due sources, in order; None if that part has changed since."""
    if not builder.sweep.approved:
        return None
    found = [source for source in due if _order(source) <= builder.sweep.approved_to]
    return found if name_of(found) == builder.sweep.approved else None


def _ask(builder: DecisionBuilder, due: list[Source], hot: int) -> None:
    question = name_of(due)
    if question != builder.sweep.question:
        named = ", ".join(source.source for source in due[:_NAMED])
        more = f" and {len(due) - _NAMED} more" if len(due) > _NAMED else ""
        builder.audit(
            None,
            "sweep_awaits_confirmation",
            reason=f"{len(due)} of {hot} hot {plural(hot, 'source')} "
            f"{plural(len(due), 'is', 'are')} due at once: {named}{more}",
            detail=f"`emberline confirm {question}` lets these expire; or hold what must stay",
        )
    builder.put_sweep(
        awaiting=len(due),
        question=question,
        approved="",
        approved_to=_order(due[-1]),
    )


def _forget(builder: DecisionBuilder) -> None:
    if builder.sweep.question or builder.sweep.approved:
        builder.put_sweep(awaiting=0, question="", approved="", approved_to=(0, ""))

"""Carrying out an accepted command for one source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agents.coordinator.rules import requests
from agents.coordinator.rules.command_checks import Verdict
from agents.coordinator.rules.decision import Draft
from agents.coordinator.rules.reconcile import settle
from agents.coordinator.rules.state import Origin, Source, Why
from agents.coordinator.rules.transitions import restore_later, start_expiring, start_restoring
from schemas.records.lifecycle import Command, CommandType, Hold, Outcome, State

__all__ = ["carry_out"]


@dataclass(frozen=True, slots=True)
class _Deed:
    """What is to be done, by whom and in which request."""

    source: Source
    command: Command
    request_id: str
    message: str

    def origin(self, why: Why, now: int) -> Origin:
        return Origin(why, now, self.command.requested_by, self.request_id, self.command.who)


def carry_out(
    draft: Draft,
    kind: CommandType,
    source: Source,
    command: Command,
    request_id: str,
    found: Verdict,
) -> None:
    """Do what `found` has allowed. Work of the shards is told as completed when they are done."""
    _DEEDS[kind](draft, _Deed(source, command, request_id, found.message))


def _restore(draft: Draft, deed: _Deed) -> None:
    origin = deed.origin(Why.OPERATOR, draft.now)
    if deed.source.state is State.EXPIRING:
        restore_later(draft, deed.source, origin)
    else:
        start_restoring(draft, deed.source, origin)


def _expire(draft: Draft, deed: _Deed) -> None:
    start_expiring(draft, deed.source, deed.origin(Why.OPERATOR, draft.now))


def _cancel(draft: Draft, deed: _Deed) -> None:
    """End what is under way: a restore that waits, a restore, or an expiry.

    The shards turn round: what has gone to the archive comes back, or the other way, and what
    has not moved stays.
    """
    work = deed.source.work
    if work is None:
        raise ValueError(f"{deed.source.source} has nothing under way to cancel")
    waiting = work.then_restore is not None
    ended = work.then_restore if work.then_restore is not None else work.origin
    requests.finish(
        draft,
        ended.request_id,
        deed.source.source,
        Outcome.FAILED,
        f"cancelled by request {deed.request_id}",
        code=requests.CANCELLED,
    )
    if waiting:
        draft.put(replace(deed.source, work=replace(work, then_restore=None)))
        _done(draft, deed, "restore_cancelled")
        return
    # one that undoes a cancelled one is what that was in the first place
    why = Why.OPERATOR if work.origin.why is Why.CANCELLED else Why.CANCELLED
    turn = start_expiring if deed.source.state is State.RESTORING else start_restoring
    turn(draft, deed.source, deed.origin(why, draft.now))


def _hold(draft: Draft, deed: _Deed) -> None:
    if deed.source.held is None:
        hold = Hold(deed.command.requested_by, deed.command.reason, draft.now)
        settle(draft, replace(deed.source, held=hold))
    _done(draft, deed, "hold")


def _unhold(draft: Draft, deed: _Deed) -> None:
    settle(draft, replace(deed.source, held=None))
    _done(draft, deed, "unhold")


def _done(draft: Draft, deed: _Deed, decision: str) -> None:
    draft.audit(
        draft.sources[deed.source.source],
        decision,
        by=deed.command.who,
        reason=deed.command.reason,
        detail=deed.message,
        request_id=deed.request_id,
    )
    requests.finish(draft, deed.request_id, deed.source.source, Outcome.COMPLETED, deed.message)


_DEEDS: Mapping[CommandType, Callable[[Draft, _Deed], None]] = {
    CommandType.RESTORE: _restore,
    CommandType.HOLD: _hold,
    CommandType.UNHOLD: _unhold,
    CommandType.CANCEL: _cancel,
    CommandType.EXPIRE: _expire,
}

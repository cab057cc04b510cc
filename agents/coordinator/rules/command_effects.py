"""Carries out an accepted command for one source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agents.coordinator.rules import requests
from agents.coordinator.rules.command_checks import CommandCheck
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.reconcile import reconcile
from agents.coordinator.rules.state import Source, Why, WorkOrigin
from agents.coordinator.rules.transitions import restore_later, start_expiring, start_restoring
from schemas.records.lifecycle import Command, CommandType, Hold, Outcome, State

__all__ = ["carry_out"]


@dataclass(frozen=True, slots=True)
class _Effect:
    """The change to make, its sender and its request."""

    source: Source
    command: Command
    request_id: str
    message: str

    def origin(self, why: Why, builder: DecisionBuilder) -> WorkOrigin:
        by, who = self.command.requested_by, self.command.who
        return WorkOrigin(why, builder.now, by, self.request_id, who, builder.trace)


def carry_out(
    builder: DecisionBuilder,
    kind: CommandType,
    source: Source,
    command: Command,
    request_id: str,
    found: CommandCheck,
) -> None:
    """Do what `found` has allowed. For work of the shards, the result `completed` follows after
    they have finished.
    """
    _EFFECTS[kind](builder, _Effect(source, command, request_id, found.message))


def _restore(builder: DecisionBuilder, effect: _Effect) -> None:
    origin = effect.origin(Why.OPERATOR, builder)
    if effect.source.state is State.EXPIRING:
        restore_later(builder, effect.source, origin)
    else:
        start_restoring(builder, effect.source, origin)


def _expire(builder: DecisionBuilder, effect: _Effect) -> None:
    start_expiring(builder, effect.source, effect.origin(Why.OPERATOR, builder))


def _cancel(builder: DecisionBuilder, effect: _Effect) -> None:
    """Cancel the work under way: a waiting restore, a restore, or an expiry.

    The shards reverse direction: archived data comes back, or restored data is archived again; data
    that has not moved stays.
    """
    work = effect.source.work
    if work is None:
        raise ValueError(f"{effect.source.source} has nothing under way to cancel")
    waiting = work.then_restore is not None
    ended = work.then_restore if work.then_restore is not None else work.origin
    requests.finish(
        builder,
        ended.request_id,
        effect.source.source,
        Outcome.FAILED,
        f"cancelled by request {effect.request_id}",
        code=requests.CANCELLED,
    )
    if waiting:
        builder.put(replace(effect.source, work=replace(work, then_restore=None)))
        _done(builder, effect, "restore_cancelled")
        return
    # one that undoes a cancelled one is what that was in the first place
    why = Why.OPERATOR if work.origin.why is Why.CANCELLED else Why.CANCELLED
    turn = start_expiring if effect.source.state is State.RESTORING else start_restoring
    turn(builder, effect.source, effect.origin(why, builder))


def _hold(builder: DecisionBuilder, effect: _Effect) -> None:
    command, former = effect.command, effect.source.held
    if former is None or (command.legal and not former.legal):
        hold = Hold(command.who or "", command.reason, builder.now, command.legal)
        reconcile(builder, replace(effect.source, held=hold))
    _done(builder, effect, "hold")


def _unhold(builder: DecisionBuilder, effect: _Effect) -> None:
    reconcile(builder, replace(effect.source, held=None))
    _done(builder, effect, "unhold")


def _done(builder: DecisionBuilder, effect: _Effect, decision: str) -> None:
    builder.audit(
        builder.sources[effect.source.source],
        decision,
        by=effect.command.who,
        reason=effect.command.reason,
        detail=effect.message,
        request_id=effect.request_id,
    )
    requests.finish(
        builder, effect.request_id, effect.source.source, Outcome.COMPLETED, effect.message
    )


_EFFECTS: Mapping[CommandType, Callable[[DecisionBuilder, _Effect], None]] = {
    CommandType.RESTORE: _restore,
    CommandType.HOLD: _hold,
    CommandType.UNHOLD: _unhold,
    CommandType.CANCEL: _cancel,
    CommandType.EXPIRE: _expire,
}

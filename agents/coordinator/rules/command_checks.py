"""Checks whether a command is allowed for one source, and if not, why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.coordinator.rules.state import Source
from schemas.records.lifecycle import (
    HIDDEN,
    Command,
    CommandRefusal,
    CommandType,
    Hold,
    State,
)
from schemas.words.plural import counted, numbered

__all__ = ["CommandCheck", "check_command"]

_LATE = 10
"""Late shards that are named."""


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """With `code` null the command is allowed, and `message` says what it will do."""

    code: CommandRefusal | None
    message: str
    already: bool = False
    """Whether it is so already: nothing has to be done."""


def check_command(
    command: CommandType,
    name: str,
    source: Source | None,
    asked: Command | None = None,
    *,
    keys: bool = False,
) -> CommandCheck:
    """Check a command for one source; `source` is null if the source is unknown. `asked` has the
    other fields of the command; `keys`: whether operators have keys.

    Raises KeyError for a command that does not concern sources.
    """
    if source is None:
        return CommandCheck(CommandRefusal.UNKNOWN_SOURCE, f"{name}: no such source in the catalog")
    if source.state is State.UNKNOWN and command in _NEEDS_DEFINITION:
        why = f"{name}: it has data, and no definition: publish its definition to the catalog first"
        return CommandCheck(CommandRefusal.UNKNOWN_SOURCE, why)
    if asked is not None and command is CommandType.HOLD and asked.legal:
        return _legal_hold(source, asked, keys=keys)
    if command is CommandType.UNHOLD and source.held is not None and source.held.needs_second:
        return _release(source.held, None if asked is None else asked.actor)
    return _JUDGES[command](source)


def _restore(source: Source) -> CommandCheck:
    if source.legacy_deleted:
        return CommandCheck(
            CommandRefusal.LEGACY_DELETED,
            "permanently deleted under the older policy: there is nothing to restore",
        )
    pending = source.work is not None and source.work.then_restore is not None
    if source.state is State.RESTORING or pending:
        return CommandCheck(CommandRefusal.ALREADY_RESTORING, "a restore is under way", True)
    if source.state is State.EXPIRING:
        late = (
            f"; {_late(source)} not done: `emberline cancel {source.source}` brings it back"
            " without that"
            if source.work is not None and source.work.stuck
            else ""
        )
        return CommandCheck(None, f"is expiring; will be restored as soon as it has expired{late}")
    if source.state is not State.EXPIRED:
        message = f"is {source.state}: its data is available"
        return CommandCheck(CommandRefusal.NOT_EXPIRED, message, True)
    totals = source.archived
    if not totals.segments and not totals.late_interactions:
        return CommandCheck(CommandRefusal.NOTHING_ARCHIVED, "no data of it is in the archive")
    return CommandCheck(
        None,
        f"will be restored: {counted(totals.interactions, 'interaction')}, {totals.bytes:,} bytes",
    )


def _late(source: Source) -> str:
    stuck = source.work.stuck if source.work is not None else ()
    more = ", .." if len(stuck) > _LATE else ""
    return f"{numbered('shard', stuck[:_LATE])}{more}"


def _hold(source: Source) -> CommandCheck:
    if source.held is not None:
        return CommandCheck(None, f"was held already, by {source.held.by or 'somebody'}", True)
    if source.state in HIDDEN:
        return CommandCheck(None, f"hold recorded; is {source.state}: a hold restores nothing")
    return CommandCheck(None, "held: does not expire until released")


def _legal_hold(source: Source, asked: Command, *, keys: bool) -> CommandCheck:
    if not asked.reason:
        message = "a legal hold needs a reason: it is evidence"
        return CommandCheck(CommandRefusal.INVALID_COMMAND, message)
    if keys and asked.actor is None:
        message = (
            "a legal hold needs a sender whom a key proves: ask a worker with your key, "
            f"POST /sources/{source.source}/hold with legal"
        )
        return CommandCheck(CommandRefusal.INVALID_COMMAND, message)
    if source.held is not None and source.held.legal:
        return CommandCheck(None, f"is under the legal hold of {source.held.by} already", True)
    second = " until another person releases it" if asked.actor is not None else " until released"
    back = f"; is {source.state}: a hold restores nothing" if source.state in HIDDEN else ""
    return CommandCheck(None, f"under legal hold: neither expires nor is erased{second}{back}")


def _release(held: Hold, actor: str | None) -> CommandCheck:
    """A legal hold whose setter is proven: another person releases it, and proves that."""
    if actor is None or actor == held.by:
        who = "a sender whom a key proves" if actor is None else "another person"
        message = f"is under the legal hold of {held.by}: {who} has to release it, with a key"
        return CommandCheck(CommandRefusal.SECOND_PERSON, message)
    return CommandCheck(None, f"released from the legal hold of {held.by}")


def _unhold(source: Source) -> CommandCheck:
    if source.held is None:
        return CommandCheck(None, "was not held", True)
    return CommandCheck(None, "released")


def _cancel(source: Source) -> CommandCheck:
    if source.state is State.RESTORING:
        return CommandCheck(None, "restore cancelled; goes back to the archive")
    if source.work is not None and source.work.then_restore is not None:
        return CommandCheck(None, "restore cancelled before it began; cancel again for the expiry")
    if source.state is State.EXPIRING:
        return CommandCheck(None, "expiry cancelled; the data already archived comes back")
    message = f"is {source.state}: nothing is under way"
    return CommandCheck(CommandRefusal.NOT_RESTORING, message, True)


def _expire(source: Source) -> CommandCheck:
    if source.state is State.STOPPED:
        return CommandCheck(None, "will expire now")
    if source.state in (State.EXPIRING, State.EXPIRED):
        message = f"is {source.state} already"
        return CommandCheck(CommandRefusal.ALREADY_EXPIRED, message, True)
    because = {
        State.ACTIVE: "is not stopped, and only what is stopped can expire",
        State.HELD: "is held; release it first with `emberline unhold`",
        State.EXEMPT: "is in use",
        State.RESTORING: "is being restored; end that first with `emberline cancel`",
    }.get(source.state, f"is {source.state}")
    if source.state is State.EXEMPT:
        because += f" by {source.exempt_by[0].root} ({source.exempt_by[0].filter})"
    return CommandCheck(CommandRefusal.INVALID_COMMAND, because)


_NEEDS_DEFINITION = frozenset({CommandType.RESTORE, CommandType.CANCEL, CommandType.EXPIRE})

_JUDGES: Mapping[CommandType, Callable[[Source], CommandCheck]] = {
    CommandType.RESTORE: _restore,
    CommandType.HOLD: _hold,
    CommandType.UNHOLD: _unhold,
    CommandType.CANCEL: _cancel,
    CommandType.EXPIRE: _expire,
}

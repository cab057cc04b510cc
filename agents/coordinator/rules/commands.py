"""Commands: accept or refuse them, for each source and as a whole, and carry them out."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from agents.coordinator.rules import erasures, requests
from agents.coordinator.rules.bounds import MAX_SOURCES, is_catalog_key, shared
from agents.coordinator.rules.command_checks import CommandCheck, check_command
from agents.coordinator.rules.command_effects import carry_out
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.inputs import CommandRead, CommandUnreadable
from agents.coordinator.rules.reconcile import reconcile
from agents.coordinator.rules.state import Request, RequestResult, Source
from schemas.records.lifecycle import Command, CommandRefusal, CommandType, Outcome, is_source
from schemas.words.nearest import hint
from schemas.words.plural import plural

__all__ = ["read", "unreadable"]

UNKNOWN_TOLD = 100
"""Unknown sources of one request that a result is told of each."""
REFUSED_TOLD = 1_000
"""Known sources that one request is refused for with one code, with a result each."""
STRANGE_TOLD = 100
"""Commands without an id that cannot be read, and are answered, in one batch of inputs."""
REFUSED_AUDITED = 20
"""Refused sources of one request that have an entry of their own in the audit."""


def read(builder: DecisionBuilder, item: CommandRead) -> None:
    """Carry out a command, or refuse it. If the request id is known, send the earlier results again
    instead.

    A different command with a known request id is refused.
    """
    command = item.command
    request_id = command.request_id or item.position
    known = builder.requests.get(request_id)
    if known is not None:
        if requests.repeats(known, command):
            requests.retell(builder, known, command)
        else:
            requests.refuse_reuse(builder, known, command)
        return
    requests.make_room(builder)
    request = Request(
        request_id,
        command.type,
        builder.now,
        by=command.requested_by,
        actor=command.who,
        dry_run=command.dry_run,
        asked=requests.asked(command),
        tag=command.tag,
        reason=requests.kept_reason(command),
        notify=command.recipients,
    )
    try:
        kind = CommandType(command.type)
    except ValueError:
        detail = f"{command.type!r} is no command. {hint(command.type, CommandType)}"
        _refuse(builder, request, detail)
        return
    if kind is CommandType.ERASE:
        _erase(builder, request, item)
    elif kind is CommandType.IMPORTED:
        _imported(builder, request, command)
    elif kind in _SWEEPS:
        _sweep(builder, request, command, kind)
    else:
        _sources(builder, request, command, kind)


def unreadable(builder: DecisionBuilder, item: CommandUnreadable) -> None:
    """Refuse a command that cannot be decoded, under its request id if that is known."""
    if item.request_id in builder.requests:
        return
    # it is in `rejected` too: of very many that nobody can ask after, some are answered
    if item.named or builder.once("strange_command", STRANGE_TOLD):
        requests.make_room(builder)
        request = Request(item.request_id, "", builder.now, actor=item.by)
        _refuse(builder, request, f"cannot be read: {item.detail}")


def _refuse(
    builder: DecisionBuilder,
    request: Request,
    message: str,
    code: CommandRefusal = CommandRefusal.INVALID_COMMAND,
) -> None:
    requests.tell_whole(builder, request, RequestResult(Outcome.REFUSED, code.value, message))
    builder.audit(
        None,
        f"{request.type or 'command'}_refused",
        by=request.actor,
        reason=code.value,
        detail=message,
        request_id=request.request_id,
    )


def _erase(builder: DecisionBuilder, request: Request, item: CommandRead) -> None:
    fault = item.fault or erasures.fault(builder, item.command)
    if fault:
        _refuse(builder, request, fault)
    else:
        erasures.begin(builder, request, item.command)


def _imported(builder: DecisionBuilder, request: Request, command: Command) -> None:
    """Process the start of an import for these sources: old events must not make them expire at
    once.

    An unknown source becomes known here, as its events would make it known anyway.
    """
    names = dict.fromkeys(command.sources)
    strange = [name for name in names if not (is_source(name) and is_catalog_key(name))]
    if strange or not names:
        wrong = f"{strange[0][:80]!r} is no source" if strange else "no source is named"
        _refuse(builder, request, wrong)
        return
    sources = plural(len(names), "source")
    message = _dry(command, f"the retention of {len(names)} {sources} runs from now")
    if not command.dry_run:
        for name in names:
            source = builder.sources.get(name) or Source(name)
            reconcile(builder, replace(source, imported_at=builder.now))
        builder.audit(
            None,
            "imported",
            by=command.who,
            reason=command.reason,
            detail=message,
            request_id=request.request_id,
        )
    result = RequestResult(Outcome.COMPLETED, None, message, total=len(names))
    requests.tell_whole(builder, request, result)


def _sweep(builder: DecisionBuilder, request: Request, command: Command, kind: CommandType) -> None:
    already = kind in _ALREADY and _ALREADY[kind] is builder.sweep.paused
    message, changes = _SWEEPS[kind](builder, command)
    if changes is None:
        _refuse(builder, request, message)
        return
    requests.tell_whole(builder, request, RequestResult(Outcome.ACCEPTED, None, message))
    request = builder.requests[request.request_id]
    if not command.dry_run:
        builder.put_sweep(**changes)
        builder.audit(
            None,
            _AUDITED[kind],
            by=command.who,
            reason=command.reason,
            detail=message,
            request_id=request.request_id,
        )
    message = _dry(command, f"so already: {message}" if already else message)
    done = RequestResult(Outcome.COMPLETED, None, message, already=already)
    requests.tell_whole(builder, request, done)


def _pause(builder: DecisionBuilder, command: Command) -> tuple[str, dict[str, Any] | None]:
    # a question that was asked before a pause is not the one to be asked after it
    return "the sweep is paused: nothing expires by itself", {"paused": True, **_NOTHING_ASKED}


def _resume(builder: DecisionBuilder, command: Command) -> tuple[str, dict[str, Any] | None]:
    if builder.sweep.question and not builder.sweep.paused:
        return _awaited(builder, "the sweep goes on"), {}
    return "the sweep goes on", {"paused": False, "next_at": builder.now, **_NOTHING_ASKED}


def _confirm(builder: DecisionBuilder, command: Command) -> tuple[str, dict[str, Any] | None]:
    sweep = builder.sweep
    named = tuple(dict.fromkeys(command.sources))
    if sweep.paused:
        return "the sweep is paused: it asks again once it is resumed", None
    if not sweep.question:
        return "no sweep waits for a confirmation", None
    if named != (sweep.question,):
        wrong = f"{named[0][:80]!r} is not what is asked" if named else "name what you confirm"
        return _awaited(builder, wrong), None
    # at once; should anything about these sources change until then, it is asked again
    changes = {"approved": sweep.question, "awaiting": 0, "question": "", "next_at": builder.now}
    some = plural(sweep.awaiting, "source expires", "sources expire")
    return f"confirmed: {sweep.awaiting} {some}", changes


def _awaited(builder: DecisionBuilder, first: str) -> str:
    sweep = builder.sweep
    wait = plural(sweep.awaiting, "source waits", "sources wait")
    return f"{first}; {sweep.awaiting} {wait} for `emberline confirm {sweep.question}`"


_NOTHING_ASKED: Mapping[str, Any] = {
    "awaiting": 0,
    "question": "",
    "approved": "",
    "approved_to": (0, ""),
}
_SWEEPS: Mapping[
    CommandType, Callable[[DecisionBuilder, Command], tuple[str, dict[str, Any] | None]]
] = {
    CommandType.PAUSE: _pause,
    CommandType.RESUME: _resume,
    CommandType.CONFIRM: _confirm,
}
"""What is told, and what changes of the sweep; None where it is refused."""
_ALREADY: Mapping[CommandType, bool] = {CommandType.PAUSE: True, CommandType.RESUME: False}
"""Whether the sweep is paused where that is so already."""
_AUDITED: Mapping[CommandType, str] = {
    CommandType.PAUSE: "sweep_paused",
    CommandType.RESUME: "sweep_resumed",
    CommandType.CONFIRM: "sweep_confirmed",
}


def _sources(
    builder: DecisionBuilder, request: Request, command: Command, kind: CommandType
) -> None:
    names = _resolve(builder, command, kind)
    if not names:
        if kind is CommandType.CANCEL and any(_cancelled(builder, one) for one in command.sources):
            message = _dry(command, "so already: nothing of the request is under way")
            same = RequestResult(Outcome.COMPLETED, None, message, already=True)
            requests.tell_whole(builder, request, same)
        elif command.tag is None:
            _refuse(builder, request, "name at least one source, or a tag")
        else:
            message = f"no source has the tag {command.tag!r}"
            _refuse(builder, request, message, CommandRefusal.UNKNOWN_SOURCE)
        return
    if len(names) > MAX_SOURCES:
        _refuse(builder, request, f"{len(names)} sources are more than {MAX_SOURCES}: ask in parts")
        return
    command = replace(command, reason=shared(command.reason, len(names)))
    checks = {name: _check(builder, kind, name, command) for name in names}
    refused = {name: found for name, found in checks.items() if found.code is not None}
    named = _told(refused, command)
    listed = tuple(name for name in names if name not in refused or name in named)
    untold_already = sum(found.already for name, found in refused.items() if name not in named)
    untold = Counter(str(found.code) for name, found in refused.items() if name not in named)
    request = replace(
        request,
        sources=listed,
        untold=len(names) - len(listed),
        untold_already=untold_already,
        untold_codes=tuple(sorted(untold.items())),
    )
    builder.put_request(request)
    if len(refused) < len(names):
        message = f"{len(names) - len(refused)} of {len(names)} accepted"
        message = _dry(command, message + _untold(refused, named))
        whole = RequestResult(Outcome.ACCEPTED, None, message, total=len(names))
        requests.tell_whole(builder, request, whole)
    _audit_refused(builder, request, refused)
    for name in listed:
        found = checks[name]
        if found.code is not None:
            requests.tell(builder, request.request_id, name, _refusal(found))
            continue
        message = _dry(command, found.message)
        accepted = RequestResult(Outcome.ACCEPTED, None, message, already=found.already)
        requests.tell(builder, request.request_id, name, accepted)
        if command.dry_run:
            requests.finish(builder, request.request_id, name, Outcome.COMPLETED, accepted.message)
        else:
            carry_out(builder, kind, builder.sources[name], command, request.request_id, found)
    request = builder.requests[request.request_id]
    if len(refused) == len(names):
        code, message = _together(refused)
        message += _untold(refused, named)
        whole = RequestResult(Outcome.REFUSED, code, message, total=len(names))
        requests.tell_whole(builder, request, whole)
    else:
        requests.close_if_done(builder, request)


def _check(
    builder: DecisionBuilder, kind: CommandType, name: str, command: Command
) -> CommandCheck:
    source = builder.sources.get(name)
    found = check_command(kind, name, source, command, keys=builder.policy.keys)
    if kind is CommandType.EXPIRE and found.code is None and builder.sweep.archive_fault:
        why = f"the archive would lose it: {builder.sweep.archive_fault}"
        return CommandCheck(CommandRefusal.INVALID_COMMAND, why)
    return found


def _told(refused: Mapping[str, CommandCheck], command: Command) -> frozenset[str]:
    """The refused sources that get a result each; the others are only counted.

    A short command may name very many sources, and the output must not be many times the input.
    """
    most = {CommandRefusal.UNKNOWN_SOURCE: UNKNOWN_TOLD}
    found: Counter[CommandRefusal | None] = Counter()
    named: set[str] = set()
    for name, one in refused.items():
        found[one.code] += 1
        if one.code is not None and found[one.code] <= most.get(one.code, REFUSED_TOLD):
            named.add(name)
    return frozenset(named)


def _untold(refused: Mapping[str, CommandCheck], named: frozenset[str]) -> str:
    codes = Counter(one.code for name, one in refused.items() if name not in named)
    counts = [f"{count} more are refused: {code}" for code, count in codes.items()]
    return "".join(f"; {count}" for count in counts)


def _audit_refused(
    builder: DecisionBuilder, request: Request, refused: Mapping[str, CommandCheck]
) -> None:
    """Audit some of the refused sources by name, and the number of all, because the audit is kept
    for ever.
    """
    for name in islice(refused, REFUSED_AUDITED):
        found = refused[name]
        builder.audit(
            builder.sources.get(name),
            f"{request.type}_refused",
            by=request.actor,
            reason=found.code.value if found.code is not None else None,
            detail=f"{name}: {found.message}",
            request_id=request.request_id,
        )
    if len(refused) > REFUSED_AUDITED:
        codes = Counter(found.code for found in refused.values())
        builder.audit(
            None,
            f"{request.type}_refused",
            by=request.actor,
            reason=", ".join(f"{count} {code}" for code, count in codes.items()),
            detail=f"{len(refused)} sources, of which {REFUSED_AUDITED} have entries of their own",
            request_id=request.request_id,
        )


def _refusal(found: CommandCheck) -> RequestResult:
    code = found.code.value if found.code else None
    return RequestResult(Outcome.REFUSED, code, found.message, already=found.already)


def _resolve(builder: DecisionBuilder, command: Command, kind: CommandType) -> tuple[str, ...]:
    """The sources of a command, each once: first the named ones in their order, then those of the
    tag.

    `cancel` also takes request ids: each stands for its sources without a final result.
    """
    names: dict[str, None] = {}
    for name in command.sources:
        request = _cancelled(builder, name) if kind is CommandType.CANCEL else None
        if request is None:
            names[name] = None
        else:
            names.update(
                (source, None)
                for source in request.sources
                if not builder.results[request.request_id, source].outcome.final
            )
    if command.tag is not None:
        tagged = (s.source for s in builder.sources.values() if command.tag in s.tags)
        names.update(dict.fromkeys(sorted(tagged)))
    return tuple(names)


def _cancelled(builder: DecisionBuilder, name: str) -> Request | None:
    """The request that `cancel` means by a name, or None.

    The name of a source always means the source: its sender chooses a request's id, and an id that
    names a source must not hide it.
    """
    return None if is_source(name) else builder.requests.get(name)


def _together(refused: Mapping[str, CommandCheck]) -> tuple[str, str]:
    """One code for the whole request: the common code of all sources, if there is one."""
    codes = {found.code for found in refused.values() if found.code is not None}
    code = codes.pop() if len(codes) == 1 else CommandRefusal.INVALID_COMMAND
    if len(refused) == 1:
        return code.value, next(iter(refused.values())).message
    return code.value, f"none of {len(refused)} sources was accepted"


def _dry(command: Command, message: str) -> str:
    return f"dry run: {message}" if command.dry_run else message

"""Requests and their results, so that a repeated request id gets the same results and no second
effect.
"""

import hashlib
import json
from dataclasses import replace

from agents.coordinator.rules import outputs
from agents.coordinator.rules.bounds import clipped
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.state import Request, RequestResult
from schemas.records.lifecycle import Command, CommandRefusal, Outcome
from schemas.words.plural import plural

__all__ = [
    "CANCELLED",
    "asked",
    "close_if_done",
    "finish",
    "forget_old",
    "kept_reason",
    "make_room",
    "progress",
    "refuse_reuse",
    "repeats",
    "retell",
    "same_words",
    "tell",
    "tell_whole",
]

MOST_REQUESTS = 100_000
MOST_RESULTS = 500_000
"""How many requests, and results of sources in all of them, are kept: if there are more, those that
are over are forgotten earlier than after 30 days, the oldest first..."""
KEPT_MS = 3_600_000
"""... except for younger ones with an effect: a copy of a signed command may arrive for some
minutes."""
RETOLD = 1_000
"""Sources of a repeated request that are told again: a repetition is a short record."""
_REASON_KEPT = 1_000
"""Characters of the reason that are kept with the request."""
_PROGRESS_SOURCES = 100
"""Progress source by source is told in requests of at most so many."""
_PROGRESS_MS = 1_000
"""Progress of a whole request is told at most so often."""

CANCELLED = "cancelled"
"""The code of a restore that failed because it was cancelled."""


def tell_whole(builder: DecisionBuilder, request: Request, result: RequestResult) -> None:
    """Send and store the result of a whole request, as of now."""
    result = replace(result, time=builder.now)
    builder.put_request(replace(request, whole=result))
    builder.emit(outputs.result(request.request_id, None, result))


def tell(builder: DecisionBuilder, request_id: str, source: str, result: RequestResult) -> None:
    """Send and store the result of one source in a request."""
    result = replace(result, time=builder.now)
    builder.put_result(request_id, source, result)
    builder.emit(outputs.result(request_id, source, result))
    if result.outcome.final:
        request = builder.requests[request_id]
        builder.put_request(
            replace(
                request,
                finished=request.finished + 1,
                completed=request.completed + (result.outcome is Outcome.COMPLETED),
            )
        )


def finish(
    builder: DecisionBuilder,
    request_id: str | None,
    source: str,
    outcome: Outcome,
    message: str,
    *,
    code: str | None = None,
) -> None:
    """Send the final result of one source, and, if it was the last source, of the whole request.

    Does nothing for a source that has its final result, or for work that no request asked for.
    """
    if request_id is None or request_id not in builder.requests:
        return
    former = builder.results.get((request_id, source))
    if former is None or former.outcome.final:
        return
    done = former.total if outcome is Outcome.COMPLETED else former.done
    already = former.already and outcome is Outcome.COMPLETED
    result = RequestResult(outcome, code, message, done, former.total, already=already)
    tell(builder, request_id, source, result)
    close_if_done(builder, builder.requests[request_id])


def close_if_done(builder: DecisionBuilder, request: Request) -> None:
    """Send the final result of a whole request once all of its sources have theirs."""
    total = len(request.sources) + request.untold
    if request.whole is not None and request.whole.outcome.final:
        return
    if request.finished + request.untold < total:
        _tell_progress(builder, request, total)
        return
    if request.completed:
        message = f"{request.completed} of {total} completed"
        completed = RequestResult(Outcome.COMPLETED, None, message, request.completed, total)
        tell_whole(builder, request, completed)
    else:
        message = "nothing was completed"
        failed = RequestResult(Outcome.FAILED, CANCELLED, message, total=total)
        tell_whole(builder, request, failed)


def _tell_progress(builder: DecisionBuilder, request: Request, total: int) -> None:
    former = request.whole
    if former is not None and request.completed and builder.now - former.time >= _PROGRESS_MS:
        message = f"{request.finished + request.untold} of {total} {plural(total, 'source')} done"
        so_far = RequestResult(Outcome.PROGRESS, None, message, request.finished, total)
        tell_whole(builder, request, so_far)


def progress(
    builder: DecisionBuilder, request_id: str | None, source: str, done: int, total: int
) -> None:
    """Send the progress of one source, in segments of all shards together."""
    if request_id is None or request_id not in builder.requests:
        return
    if len(builder.requests[request_id].sources) > _PROGRESS_SOURCES:
        return
    former = builder.results.get((request_id, source))
    if former is None or former.outcome.final or done <= former.done:
        return
    message = f"{done} of {total} {plural(total, 'segment')}"
    result = RequestResult(Outcome.PROGRESS, None, message, done, total)
    tell(builder, request_id, source, result)


def asked(command: Command) -> str:
    """A text that is equal for two commands that ask for the same, for any sender and any order."""
    names = [sorted(set(command.sources)), sorted(set(command.users))]
    parts = [command.type, command.tag, command.dry_run, *names]
    if command.legal:
        parts.append("legal")
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def repeats(known: Request, command: Command, of: str = "") -> bool:
    """Whether a command with a known request id asks for the same as that request.

    `of`: what `asked` gave for the command, where it is at hand without its sources.
    """
    if known.asked:
        return known.asked == (of or asked(command))
    return (known.type, known.dry_run) == (command.type, command.dry_run)


def same_words(known: Request, command: Command) -> bool:
    """Whether a repeated command also gives the same reason and names the same recipients.

    The coordinator takes one that does not for a repetition, and ignores its words.
    """
    return known.reason == kept_reason(command) and set(known.notify) == set(command.recipients)


def kept_reason(command: Command) -> str | None:
    """The reason as it is kept with the request."""
    return clipped(command.reason, _REASON_KEPT)


def refuse_reuse(builder: DecisionBuilder, known: Request, command: Command) -> None:
    """Refuse a different command under a known request id; the known request does not change."""
    former = known.type or "a command that could not be read"
    other = f"another {former}" if known.type == command.type else former
    message = f"the request id was used before, for {other}: take one of its own"
    code = CommandRefusal.INVALID_COMMAND.value
    result = RequestResult(Outcome.REFUSED, code, message, time=builder.now)
    builder.emit(outputs.result(known.request_id, None, result, about=asked(command)))
    builder.audit(
        None,
        f"{command.type or 'command'}_refused",
        by=command.who,
        reason=code,
        detail=message,
        request_id=known.request_id,
    )


def retell(builder: DecisionBuilder, request: Request, command: Command) -> None:
    """Send the last results again, with the same event ids and times, of the first sources if
    there are very many.

    At most once for each request in a batch of inputs, however often the command is repeated.
    """
    if request.request_id not in builder.retold:
        builder.retold.add(request.request_id)
        for source in request.sources[:RETOLD]:
            result = builder.results[request.request_id, source]
            builder.emit(outputs.result(request.request_id, source, result))
    if request.whole is not None:
        builder.emit(outputs.result(request.request_id, None, request.whole))
    builder.audit(None, "request_repeated", by=command.who, request_id=request.request_id)


def forget_old(builder: DecisionBuilder) -> None:
    """Remove finished requests that are older than the policy's limit."""
    horizon = builder.now - builder.policy.requests_kept_ms
    for request in list(builder.requests.values()):
        if request.time < horizon and _over(builder, request):
            builder.forget_request(request)


def make_room(builder: DecisionBuilder) -> None:
    """Remove the oldest finished requests if there are very many, or they have very many sources:
    a short command may name all sources by a tag.
    """
    if len(builder.requests) <= MOST_REQUESTS and len(builder.results) <= MOST_RESULTS:
        return
    recent = builder.now - KEPT_MS
    found = (one for one in builder.requests.values() if one.dry_run or one.time < recent)
    over = (one for one in found if _over(builder, one))
    for request in sorted(over, key=lambda one: one.time):
        if len(builder.requests) <= MOST_REQUESTS and len(builder.results) <= MOST_RESULTS:
            return
        builder.forget_request(request)


def _over(builder: DecisionBuilder, request: Request) -> bool:
    erasure = builder.erasures.get(request.request_id)
    return request.finished >= len(request.sources) and not (erasure and erasure.orders)

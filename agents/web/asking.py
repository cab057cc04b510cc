"""Handles a call that changes something: sends the command once, waits for the result, answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import Any
from urllib.parse import quote

import polars as pl
from aiohttp import web

from agents.coordinator.rules.requests import asked as identity
from agents.coordinator.rules.requests import repeats, same_words
from agents.coordinator.rules.state import Request
from agents.http.admission import WorkKind
from agents.http.keys import Scope
from agents.http.problems import Problem, legacy_deleted, shards_unavailable
from agents.requests.commands import NotSent, Sent, TooLong
from agents.requests.estimate import (
    Amount,
    accepted,
    archived_amount,
    effect_facts,
    measured,
)
from agents.requests.facts import part_facts, reason_facts, request_facts, sent_facts
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.sizes import outline
from agents.views.protocol import SourceLookup
from agents.views.request_view import RequestView, counted_as
from agents.views.source_table import INTERACTIONS
from agents.web.caller import allowed, slot
from agents.web.command_body import wait_of
from agents.web.command_match import matched
from agents.web.source_names import understood, unknown_key
from schemas.records.lifecycle import Command, CommandRefusal, CommandType, Outcome
from streams.log_facts import TRACE

__all__ = [
    "MOST_PARTS",
    "NO_PARTS",
    "SENT_PROBLEMS",
    "PartPage",
    "as_seen",
    "asked",
    "described",
    "requests_read",
    "unknown_request",
]

MOST_PARTS = 1_000
"""Sources of a request in one answer."""
_AT_ONCE = 500
"""Sources of a request whose answer is made in the event loop: a few milliseconds."""
SENT_PROBLEMS = (
    "bad_request",
    "unknown_source",
    "ambiguous_source",
    "key_reused",
    "command_refused",
    "shards_unavailable",
    "control_unavailable",
)
"""The codes that every call with a command may have."""
NO_PARTS: Mapping[str, Any] = {"sources": [], "next": None, "reasons": [], "effect": None}
"""Of a request that the coordinator has not yet read."""


def requests_read(context: WorkerContext) -> None:
    """Raises Problem (503) while this worker has not read the requests."""
    if not context.requests.caught_up.is_set():
        raise shards_unavailable("This worker has not read the requests yet")


def unknown_request(request_id: str) -> Problem:
    """404."""
    detail = f"No request is called {request_id[:250]!r}, or it was forgotten after 30 days"
    return Problem("unknown_request", detail, request_id=request_id)


async def asked(
    request: web.Request,
    command: Command,
    match: object = None,
    *,
    always_202: bool = False,
    one: str | None = None,
) -> web.Response:
    """Send a command unless it was sent before, wait for the coordinator's decision, and answer
    with the present state of the request; see docs/operating.md.

    `one`: the source in the address; if it is refused, the refusal is the answer. `match`: finds
    the sources of a command that is sent for the first time. Raises Problem.
    """
    by_match = match is not None
    context, wait_s = request.app[CONTEXT], wait_of(request)
    requests_read(context)
    request_id = command.request_id or ""
    known, of = context.requests.get(request_id), ""
    own: Sent | None = None
    if known is None:
        former = context.commands.sent(request_id)
        async with slot(request, WorkKind.LOOK_UP):
            if match is not None and former is None:
                command = replace(command, sources=await matched(request, match))
            # while this one waited, the same id may have come again
            former = context.commands.sent(request_id)
            if former is not None and not (by_match or former.repeated_by(command)):
                raise _reused(request_id, former.command.type)
            if former is None or not by_match:
                await _sent(context, command, TRACE.get())
                own = context.commands.sent(request_id)
        # nobody else has it: while it waits, a request takes little memory
        command, of = replace(command, sources=(), users=()), identity(command)
        try:
            async with asyncio.timeout(wait_s):
                await context.requests.until_decided(request_id)
        except TimeoutError:
            pass  # it stays in the topic: the answer says so
        known = context.requests.get(request_id)
    where = {"Location": _address(command, request_id)}
    if known is None:
        # of very many commands that nobody reads a worker remembers the last ones only
        sent = context.commands.sent(request_id) or own
        if sent is None:
            detail = "The same call came before, and it failed: ask again with the same key"
            raise Problem("control_unavailable", detail, request_id=request_id)
        return web.json_response(
            {**sent_facts(sent), **NO_PARTS, "understood": understood(request)},
            status=202,
            headers=where,
        )
    # the id of a match says what was matched, and what it found then is what counts
    same = by_match or repeats(known, command, of)
    if not same or not same_words(known, command):
        raise _reused(request_id, known.type)
    _check_refused(context, known, one)
    found = await described(context, known) | {"understood": understood(request)}
    over = found["state"] != "running"
    return web.json_response(found, status=200 if over and not always_202 else 202, headers=where)


@dataclass(frozen=True, slots=True)
class PartPage:
    """A page of the parts of a request, in the order of the sources: those behind `after`, that are
    counted as one of `outcomes` if any are given.
    """

    after: str = ""
    limit: int = MOST_PARTS
    outcomes: frozenset[str] = frozenset()


FIRST = PartPage()


async def described(
    context: WorkerContext, request: Request, which: PartPage = FIRST
) -> dict[str, Any]:
    """A request with a page of its parts. That of many sources is made in a thread, from what is
    known now.
    """
    view, states = context.requests, context.states
    sizes: pl.DataFrame | None = None
    if request.dry_run and request.type != CommandType.RESTORE:
        sizes, _ = await context.outlines.latest(lambda: outline(context))
    if len(view.parts(request.request_id)) <= _AT_ONCE and not request.dry_run:
        return _described(request, view, states, which)
    frozen = view.frozen(request.request_id)
    return await asyncio.to_thread(_described, request, frozen, states, which, sizes)


def _described(
    request: Request,
    view: RequestView,
    states: SourceLookup,
    which: PartPage,
    sizes: pl.DataFrame | None = None,
) -> dict[str, Any]:
    # to sort all of them would keep the event loop waiting, from a thread too
    names = nsmallest(
        which.limit + 1,
        (
            name
            for name, told in view.parts(request.request_id).items()
            if name > which.after and (not which.outcomes or counted_as(told) in which.outcomes)
        ),
    )
    page = names[: which.limit]
    return request_facts(request, view, states) | {
        "sources": part_facts(request, page, view, states),
        "next": page[-1] if len(names) > which.limit else None,
        "reasons": reason_facts(request, view, states),
        "effect": _effect(request, view, states, sizes) if request.dry_run else None,
    }


def _effect(
    request: Request, view: RequestView, states: SourceLookup, sizes: pl.DataFrame | None
) -> dict[str, Any]:
    """What the command of a dry run would do; `sizes` of hot sources, unless it is a restore."""
    sources = accepted(request, view)
    if sizes is None:
        amount = archived_amount(sources, states)
    else:
        rows = sizes.filter(pl.col("source").is_in(sources))
        amount = Amount(*rows.select(INTERACTIONS.sum(), pl.col("bytes").sum()).row(0))
    return effect_facts(len(sources), amount, measured(request.type, view, states))


def as_seen(request: web.Request, facts: dict[str, Any]) -> dict[str, Any]:
    """A request as the caller may see it: the addresses of recipients take the scope `operate`, as
    those of GET /notifications do.
    """
    return facts if allowed(request, Scope.OPERATE) else facts | {"notify": None}


def _reused(request_id: str, kind: str) -> Problem:
    return Problem(
        "key_reused",
        f"The Idempotency-Key {request_id!r} was used for another {kind or 'command'}, or with "
        "another reason or other recipients: take one of its own",
        request_id=request_id,
    )


async def _sent(context: WorkerContext, command: Command, trace: str) -> None:
    try:
        await context.commands.send(command, trace)
    except NotSent as error:
        detail = f"{error.message}. {error.remedy}"
        raise Problem("control_unavailable", detail, request_id=command.request_id) from error
    except TooLong as error:
        raise Problem("request_too_large", "No record has room for this: ask in parts") from error


def _address(command: Command, request_id: str) -> str:
    kinds = {CommandType.RESTORE.value: "restores", CommandType.ERASE.value: "erasures"}
    kind = kinds.get(command.type, "requests")
    return f"/{kind}/{quote(request_id, safe='')}"


def _check_refused(context: WorkerContext, request: Request, one: str | None) -> None:
    whole = request.whole
    if whole is None or whole.outcome is not Outcome.REFUSED or whole.already:
        return
    parts = context.requests.parts(request.request_id)
    code, message = whole.code, whole.message
    if one is not None and one in parts:
        part = parts[one]
        if part.already:
            return
        code, message = part.code, part.message
        if code == CommandRefusal.UNKNOWN_SOURCE:
            raise unknown_key(context, one)
        if code == CommandRefusal.LEGACY_DELETED:
            record = context.states.get(one)
            raise legacy_deleted(one, "" if record is None else record.name)
        message = f"{one} {message}"
    elif parts:
        return
    raise Problem("command_refused", message, refusal=code, request_id=request.request_id)

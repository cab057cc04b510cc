"""Requests of operators, restores and others: created, listed, shown, cancelled."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from aiohttp import web

from agents.coordinator.rules.state import Request
from agents.http import body
from agents.http.keys import Scope
from agents.http.parameters import number
from agents.http.problems import bad_request
from agents.http.route import SOURCE, Handler, Route, Schema, path, query, ref, several
from agents.requests.facts import (
    MOST_SUMMED_TOGETHER,
    STATES,
    Room,
    request_facts,
    sent_facts,
    state_of,
)
from agents.scatter.context import CONTEXT
from agents.views.request_view import COUNTS
from agents.web.answer import tagged
from agents.web.asking import (
    MOST_PARTS,
    NO_PARTS,
    SENT_PROBLEMS,
    PartPage,
    as_seen,
    asked,
    described,
    requests_read,
    unknown_request,
)
from agents.web.command_body import (
    COMMON,
    IDEMPOTENCY_KEY,
    MANY,
    SCHEMA_LEGAL,
    SCHEMA_MANY,
    WAIT,
    command_of,
    schema,
)
from agents.web.command_match import id_with_match
from agents.web.pages import cursor_parameter, limit_of, limit_parameter, list_route
from agents.web.source_names import source_of
from schemas.records.lifecycle import Command, CommandType, is_source
from schemas.words.nearest import hint

__all__ = ["ROUTES", "requests_route"]

_LISTED = tuple(state for state in STATES if state != "sent")
_LEGAL = frozenset({"legal"})
_FLAGS = ("false", "true")
_ABOUT_ONE = (CommandType.HOLD, CommandType.UNHOLD, CommandType.EXPIRE)
_ABOUT_MANY = (*_ABOUT_ONE, CommandType.RESTORE, CommandType.CANCEL)


async def restore(request: web.Request) -> web.Response:
    """Request a restore of sources."""
    return await asked(request, *await _restoring(request), always_202=True)


async def ask(request: web.Request) -> web.Response:
    """Request any command about sources."""
    return await asked(request, *await _any(request))


async def _restoring(request: web.Request) -> tuple[Command, object]:
    found = await body.read_object(request, MANY | COMMON)
    return _many(request, CommandType.RESTORE.value, found)


async def _any(request: web.Request) -> tuple[Command, object]:
    found = await body.read_object(request, MANY | COMMON | _LEGAL | {"type"})
    kind = found.get("type")
    if kind not in _ABOUT_MANY:
        raise bad_request(f"type is not {str(kind)[:80]!r}. {hint(str(kind), _ABOUT_MANY)}")
    if "legal" in found and kind != CommandType.HOLD:
        raise bad_request("legal is of a hold only")
    return _many(request, str(kind), found)


def _many(request: web.Request, kind: str, found: dict[str, Any]) -> tuple[Command, object]:
    """The command, and what its sources match, if it has a match instead of sources."""
    if "match" not in found:
        if not {"sources", "tag"} & found.keys():
            raise bad_request("Name sources, or a tag, or a match")
        return command_of(request, kind, found), None
    if {"sources", "tag"} & found.keys():
        raise bad_request("match stands alone, without sources and tag")
    match = found["match"]
    if match is None:
        raise bad_request("match is an object")
    command = command_of(request, kind, found)
    own = id_with_match(command.request_id or "", kind, match, dry_run=command.dry_run)
    return replace(command, request_id=own), match


def _about_one(kind: CommandType) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        own = _LEGAL if kind is CommandType.HOLD else frozenset[str]()
        found = await body.read_optional(request, COMMON | own)
        source = source_of(request)
        return await asked(request, command_of(request, kind.value, found, (source,)), one=source)

    return handler


async def cancel(request: web.Request) -> web.Response:
    """Cancel the unfinished part of a request."""
    found = await body.read_optional(request, COMMON)
    request_id = request.match_info["id"]
    context = request.app[CONTEXT]
    requests_read(context)
    known = context.requests.get(request_id) or context.commands.sent(request_id)
    if known is None or is_source(request_id):  # by that name the command means the source
        raise unknown_request(request_id)
    command = command_of(request, CommandType.CANCEL.value, found, (request_id,))
    return await asked(request, command)


def _listing(takes: Callable[[Request], bool]) -> Handler:
    """A handler that answers with pages of the requests that `takes` takes."""

    async def handler(request: web.Request) -> web.Response:
        """Newest first; `next` is the cursor of the following page, null on the last."""
        context = request.app[CONTEXT]
        requests_read(context)
        states = _several(request, "state", _LISTED)
        types = _several(request, "type", CommandType)
        dry = _several(request, "dry_run", _FLAGS)
        view = context.requests
        limit, before = limit_of(request), _before(request.query.get("cursor"))
        found = (
            one
            for one in view.newest(before)
            if takes(one)
            and (not dry or _FLAGS[one.dry_run] in dry)
            and (not types or one.type in types)
            and (not states or state_of(one, view) in states)
        )
        page = list(islice(found, limit + 1))
        more, page = len(page) > limit, page[:limit]
        room = Room(MOST_SUMMED_TOGETHER)
        return tagged(
            request,
            {
                "requests": [
                    as_seen(request, request_facts(one, view, context.states, room)) for one in page
                ],
                "next": f"{page[-1].time}.{page[-1].request_id}" if more else None,
            },
        )

    return handler


async def one_request(request: web.Request) -> web.Response:
    """One request, with a page of its parts."""
    context = request.app[CONTEXT]
    requests_read(context)
    request_id = request.match_info["id"]
    outcomes = _several(request, "outcome", COUNTS)
    page = PartPage(
        request.query.get("cursor", ""), limit_of(request, MOST_PARTS, MOST_PARTS), outcomes
    )
    found = context.requests.get(request_id)
    if found is not None:
        return tagged(request, as_seen(request, await described(context, found, page)))
    sent = context.commands.sent(request_id)
    if sent is None:
        raise unknown_request(request_id)
    return tagged(request, as_seen(request, {**sent_facts(sent), **NO_PARTS}))


def _several(request: web.Request, name: str, known: Iterable[str]) -> frozenset[str]:
    """The values of a parameter that may be given several times. Raises Problem (400)."""
    found, words = request.query.getall(name, []), tuple(map(str, known))
    for one in found:
        if one not in words:
            raise bad_request(f"{name} is not {one[:80]!r}. {hint(one, words)}")
    return frozenset(found)


def _before(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    time, _, request_id = cursor.partition(".")
    found = number(time)
    if found is None or not request_id:
        raise bad_request("cursor is `next` of the page before")
    return found, request_id


_ID = path("id", "The request's id: its Idempotency-Key, or what the worker has made")
_REASONS = schema({})
_PART_PAGES = (
    limit_parameter("sources", MOST_PARTS, MOST_PARTS),
    cursor_parameter(": a source"),
    several("outcome", "Sources only that `counts` has among one of these", COUNTS),
)
_STATE = several("state", "Those that stand so only", list(_LISTED))
_DRY_RUN = query("dry_run", "Dry runs only, or the others only", enum=list(_FLAGS))
_TYPE = several("type", "Requests of these types only", list(CommandType))
_ONE: Schema = {"application/json": ref("Request")}
_ASKED: Schema = {"application/json": ref("AskedRequest")}


def _commanding(path_: str, handler: Handler, summary: str, **more: Any) -> Route:
    """A call that creates a request and answers with it."""
    given: dict[str, Any] = {"statuses": (200, 202), "body": _REASONS, "body_optional": True} | more
    return Route(
        method="POST",
        path=path_,
        handler=handler,
        summary=summary,
        scope=Scope.OPERATE,
        work=None,  # it waits longer than it works
        parameters=(*given.pop("parameters", ()), IDEMPOTENCY_KEY, WAIT),
        location=True,
        answers=_ASKED,
        problems=(*SENT_PROBLEMS, *given.pop("problems", ())),
        **given,
    )


def requests_route(path_: str, takes: Callable[[Request], bool], summary: str) -> Route:
    """A call that answers with pages of the requests that `takes` takes."""
    handler, filters = _listing(takes), (_STATE, _TYPE, _DRY_RUN)
    return list_route(path_, handler, summary, "Requests", "requests", *filters)


def _one_shown(path_: str, summary: str) -> Route:
    """A call that answers with one request and pages of its parts."""
    return Route(
        method="GET",
        path=path_,
        handler=one_request,
        summary=summary,
        scope=Scope.READ,
        parameters=(_ID, *_PART_PAGES),
        etag=True,
        answers=_ONE,
        problems=("bad_request", "unknown_request", "shards_unavailable"),
    )


_OF_ONE = {
    CommandType.HOLD: "Keep a source hot until it is released",
    CommandType.UNHOLD: "Release a source from a hold",
    CommandType.EXPIRE: "Move a source to the archive now, whatever its date",
}

ROUTES = (
    _commanding(
        "/restores",
        restore,
        "Bring sources back from the archive",
        body=schema(SCHEMA_MANY, named=True),
        body_optional=False,
        statuses=(202,),
        problems=("unknown_request",),
    ),
    requests_route(
        "/restores",
        lambda one: one.type == CommandType.RESTORE,
        "Restores and how far they are, newest first, in pages",
    ),
    _one_shown("/restores/{id}", "One restore, source by source"),
    _commanding(
        "/restores/{id}/cancel",
        cancel,
        "Cancel what of a request is still under way",
        parameters=(_ID,),
        problems=("unknown_request",),
    ),
    *(
        _commanding(
            f"/sources/{{source}}/{kind.value}",
            _about_one(kind),
            summary,
            parameters=(SOURCE,),
            body=schema(SCHEMA_LEGAL if kind is CommandType.HOLD else {}),
            problems=("unknown_source", "legacy_deleted"),
        )
        for kind, summary in _OF_ONE.items()
    ),
    _commanding(
        "/requests",
        ask,
        "Ask for something about many sources",
        body=schema(
            {
                "type": {"enum": [kind.value for kind in _ABOUT_MANY]},
                **SCHEMA_MANY,
                **SCHEMA_LEGAL,
            },
            "type",
            named=True,
        ),
        body_optional=False,
        problems=("unknown_request",),
    ),
    requests_route("/requests", lambda one: True, "Requests of every type, newest first, in pages"),
    _one_shown("/requests/{id}", "One request, source by source"),
)

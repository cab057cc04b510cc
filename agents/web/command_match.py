"""`match` of a command: the sources that fit filters, found once, when the command is asked.

The record on `control` has keys only, so what was found is what is carried out. The id of the
request has a hash of the match behind the Idempotency-Key: the same key with the same match is the
same request at any worker, whatever matches by then.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from agents.coordinator.rules.bounds import MAX_SOURCES, TEXT, WORD
from agents.coordinator.rules.state import Request
from agents.http.problems import Problem, bad_request
from agents.http.route import Schema
from agents.requests.estimate import accepted
from agents.scatter.context import CONTEXT
from agents.scatter.visible import states_read
from agents.views.request_view import counted_as
from agents.views.source_table import ListFilter
from agents.web.source_list import source_filter
from schemas.records.lifecycle import SOURCE_KINDS, State

__all__ = ["SCHEMA_MATCH", "id_with_match", "matched"]

_SEVERAL = ("kind", "state", "tag")
_MOST_VALUES = 100
_HASH = 16


def _texts(**items: Any) -> Schema:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": TEXT, **items},
        "maxItems": _MOST_VALUES,
    }


SCHEMA_MATCH: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": TEXT},
        "kind": _texts(enum=list(SOURCE_KINDS)),
        "state": _texts(enum=[state.value for state in State]),
        "tag": _texts(),
        "request": {
            "type": "string",
            "minLength": 1,
            "maxLength": WORD,
            "description": "Of the sources of this request only those that failed or were refused",
        },
        "tried": {
            "type": "string",
            "minLength": 1,
            "maxLength": WORD,
            "description": "Only sources for which this dry run said that something would be done",
        },
    },
    "additionalProperties": False,
    "description": "All sources that fit the filters of GET /sources when the worker reads this; "
    "the id of the request is then the Idempotency-Key, a dot, and a hash of the match",
}


def id_with_match(request_id: str, kind: str, match: object, *, dry_run: bool) -> str:
    """The id of a request with a match. Raises Problem (400)."""
    asked = json.dumps([kind, match, dry_run], sort_keys=True).encode()
    found = f"{request_id}.{hashlib.sha256(asked).hexdigest()[:_HASH]}"
    if len(found) > WORD:
        most = WORD - _HASH - 1
        raise bad_request(f"Idempotency-Key of a request with match has at most {most} characters")
    return found


async def matched(request: web.Request, match: object) -> tuple[str, ...]:
    """The keys of the sources that match now. Raises Problem (400, 404, 409, 413), Unavailable."""
    wanted = _filter(request, match)
    context = request.app[CONTEXT]
    states_read(context)
    keys = await context.table.keys(wanted)
    if not keys:
        raise Problem("command_refused", "No source matches", refusal="unknown_source")
    if len(keys) > MAX_SOURCES:
        raise Problem(
            "request_too_large",
            f"{len(keys)} sources match, and one request may name {MAX_SOURCES}: ask in parts",
            matching=len(keys),
            most=MAX_SOURCES,
        )
    return tuple(keys)


def _filter(request: web.Request, match: object) -> ListFilter:
    known = SCHEMA_MATCH["properties"]
    if not isinstance(match, Mapping) or not match.keys() <= known.keys():
        raise bad_request(f"match is an object of {', '.join(known)}")
    name = match.get("name", "")
    if not isinstance(name, str) or len(name) > TEXT:
        raise bad_request(f"name in match is a text of at most {TEXT} characters")
    many = {one: _list(match, one) for one in _SEVERAL}
    found = source_filter(name, many["kind"], many["state"], many["tag"])
    if "request" in match:
        found = replace(found, keys=_missed(request, match["request"]))
    if "tried" in match:
        tried = _tried(request, match["tried"])
        found = replace(found, keys=tried if found.keys is None else found.keys & tried)
    return found


def _list(match: Mapping[str, Any], name: str) -> list[str]:
    found = match.get(name, [])
    if (
        not isinstance(found, list)
        or len(found) > _MOST_VALUES
        or not all(isinstance(one, str) and 0 < len(one) <= TEXT for one in found)
    ):
        raise bad_request(f"{name} in match is a list of at most {_MOST_VALUES} texts")
    return found


def _missed(request: web.Request, request_id: object) -> frozenset[str]:
    """The sources of a request that failed or were refused."""
    found = _known(request, "request", request_id)
    return frozenset(
        source
        for source, told in request.app[CONTEXT].requests.parts(found.request_id).items()
        if counted_as(told) in ("failed", "refused")
    )


def _tried(request: web.Request, request_id: object) -> frozenset[str]:
    """The sources for which a dry run said that something would be done."""
    found = _known(request, "tried", request_id)
    if not found.dry_run:
        raise bad_request("tried in match is the id of a dry run")
    return frozenset(accepted(found, request.app[CONTEXT].requests))


def _known(request: web.Request, name: str, request_id: object) -> Request:
    if not isinstance(request_id, str) or not 0 < len(request_id) <= WORD:
        raise bad_request(f"{name} in match is the id of a request")
    found = request.app[CONTEXT].requests.get(request_id)
    if found is None:
        detail = f"No request is called {request_id!r}, or it was forgotten after 30 days"
        raise Problem("unknown_request", detail, request_id=request_id)
    return found

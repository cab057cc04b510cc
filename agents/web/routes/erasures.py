"""Requests that erase users, with their receipts."""

import asyncio

from aiohttp import web

from agents.coordinator.rules.bounds import MAX_USERS, TEXT, command_fault
from agents.coordinator.sealing import key_or_fault, sealed
from agents.http import body
from agents.http.keys import Scope
from agents.http.problems import Problem, bad_request
from agents.http.route import Route, path, ref
from agents.requests.erasure_facts import receipt_facts
from agents.requests.facts import request_facts, sent_facts
from agents.scatter.context import CONTEXT
from agents.web.answer import tagged
from agents.web.asking import SENT_PROBLEMS, asked, requests_read, unknown_request
from agents.web.command_body import COMMON, IDEMPOTENCY_KEY, WAIT, command_of, schema
from agents.web.routes.requests import requests_route
from schemas.records.lifecycle import Command, CommandRefusal, CommandType

__all__ = ["ROUTES"]


async def erase(request: web.Request) -> web.Response:
    """Request the erasure of users. Their names go no further than this worker."""
    found = await body.read_object(request, COMMON | {"users"})
    users = found.get("users")
    if not isinstance(users, list) or not all(isinstance(one, str) and one for one in users):
        raise bad_request("users is a list of texts, none of them empty")
    if not users:
        raise bad_request("users names one user at least")
    named = Command(CommandType.ERASE.value, users=tuple(users))
    if (fault := command_fault(named)) is not None:
        raise bad_request(fault)
    context = request.app[CONTEXT]
    key = await asyncio.to_thread(key_or_fault, context.settings)
    if isinstance(key, str):
        raise Problem("command_refused", key, refusal=CommandRefusal.INVALID_COMMAND.value)
    command = command_of(request, CommandType.ERASE.value, found, users=named.users)
    return await asked(request, sealed(command, key, context.settings.partitions))


async def one_erasure(request: web.Request) -> web.Response:
    """One request that erases users, with its receipt."""
    context = request.app[CONTEXT]
    requests_read(context)
    request_id = request.match_info["id"]
    view = context.requests
    found = view.get(request_id)
    if found is not None and found.type == CommandType.ERASE:
        erasure = view.erasures.receipt(request_id)
        receipt = None if erasure is None else receipt_facts(erasure)
        return tagged(request, {**request_facts(found, view, context.states), "receipt": receipt})
    sent = context.commands.sent(request_id)
    if sent is None or sent.command.type != CommandType.ERASE:
        raise unknown_request(request_id)
    return tagged(request, {**sent_facts(sent), "receipt": None})


_ID = path("id", "The request's id: its Idempotency-Key, or what the worker has made")
_BODY = schema(
    {
        "users": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": TEXT},
            "minItems": 1,
            "maxItems": MAX_USERS,
            "description": "Ids of users, as events have them",
        }
    },
    "users",
)

ROUTES = (
    Route(
        method="POST",
        path="/erasures",
        handler=erase,
        summary="Erase users for ever: from every answer at once, then from all data",
        scope=Scope.ADMIN,
        work=None,
        parameters=(IDEMPOTENCY_KEY, WAIT),
        body=_BODY,
        statuses=(200, 202),
        location=True,
        answers={"application/json": ref("AskedRequest")},
        problems=SENT_PROBLEMS,
    ),
    requests_route(
        "/erasures",
        lambda one: one.type == CommandType.ERASE,
        "Requests that erase users, newest first, in pages",
    ),
    Route(
        method="GET",
        path="/erasures/{id}",
        handler=one_erasure,
        summary="One request that erases users, with its receipt: what is gone, and what remains",
        scope=Scope.READ,
        parameters=(_ID,),
        etag=True,
        answers={"application/json": ref("Erasure")},
        problems=("unknown_request", "shards_unavailable"),
    ),
)

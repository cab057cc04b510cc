"""The sweep that expires sources: how it stands, pause, resume, confirm."""

from typing import Any

from aiohttp import web

from agents.http import body
from agents.http.keys import Scope
from agents.http.problems import bad_request
from agents.http.route import Handler, Route, ref
from agents.scatter.context import CONTEXT
from agents.scatter.visible import states_read
from agents.web.answer import tagged
from agents.web.asking import SENT_PROBLEMS, asked, requests_read
from agents.web.command_body import COMMON, IDEMPOTENCY_KEY, WAIT, command_of, schema
from schemas.records.lifecycle import VISIBLE, CommandType, State
from streams.settings_values import show

__all__ = ["ROUTES"]

MOST_DUE = 100


async def sweep(request: web.Request) -> web.Response:
    """How the sweep stands, and the first of the sources that are due."""
    context = request.app[CONTEXT]
    states_read(context)
    requests_read(context)
    found, now = context.catalog.sweep, context.clock.now_ms()
    stopped = [one for one in context.states if one.state is State.STOPPED]
    due = sorted(
        (one.due_at, one.source, one.name)
        for one in stopped
        if one.due_at is not None and one.due_at <= now
    )
    return tagged(
        request,
        {
            "paused": found.paused,
            "suspended": found.skewed,
            "archive_fault": found.archive_fault or None,
            "next_at": found.next_at or None,
            "interval": show(context.settings.sweep_interval),
            "awaiting": found.awaiting,
            "confirm": found.question or None,
            "confirm_share": context.settings.sweep_confirm_share,
            "hot": sum(one.state in VISIBLE for one in context.states),
            "due": len(due),
            "sources": [
                {"source": source, "name": name, "due_at": at}
                for at, source, name in due[:MOST_DUE]
            ],
        },
    )


def _simple(kind: CommandType) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        found = await body.read_optional(request, COMMON)
        return await asked(request, command_of(request, kind.value, found))

    return handler


async def confirm(request: web.Request) -> web.Response:
    """Confirm the question that is named."""
    found = await body.read_object(request, COMMON | {"confirm"})
    question = found.get("confirm")
    if not isinstance(question, str) or not question:
        raise bad_request("confirm names what the sweep asks: GET /sweep has it")
    command = command_of(request, CommandType.CONFIRM.value, found, (question,))
    return await asked(request, command)


def _commanding(path: str, handler: Handler, summary: str, **more: Any) -> Route:
    given: dict[str, Any] = {"body": schema({}), "body_optional": True} | more
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=Scope.OPERATE,
        work=None,
        parameters=(IDEMPOTENCY_KEY, WAIT),
        statuses=(200, 202),
        location=True,
        answers={"application/json": ref("AskedRequest")},
        problems=SENT_PROBLEMS,
        **given,
    )


ROUTES = (
    Route(
        method="GET",
        path="/sweep",
        handler=sweep,
        summary="When the sweep runs next, whether it is paused, what is due and what it asks",
        scope=Scope.READ,
        etag=True,
        answers={"application/json": ref("Sweep")},
        problems=("shards_unavailable",),
    ),
    _commanding("/sweep/pause", _simple(CommandType.PAUSE), "Pause the sweep"),
    _commanding("/sweep/resume", _simple(CommandType.RESUME), "Let a paused sweep go on"),
    _commanding(
        "/sweep/confirm",
        confirm,
        "Let a large sweep expire exactly what it asked about",
        body=schema({"confirm": {"type": "string", "minLength": 1, "maxLength": 1_000}}, "confirm"),
        body_optional=False,
    ),
)

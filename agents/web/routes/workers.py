"""GET /workers: the figures of all workers of the group; and how each of them is asked."""

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web

from agents.http.keys import Scope
from agents.http.route import Route, ref
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.self_check import SELF
from agents.scatter.trouble import trouble
from agents.scatter.wire import json_of
from agents.web.answer import json_answer
from agents.web.routes.health import figures
from schemas.errors import Recoverable

__all__ = ["ROUTES"]

WAIT_S = 2.0
"""So long another worker may take."""
_INTERNAL = "/internal/status"


async def workers(request: web.Request) -> web.Response:
    """This worker first, then the others by address. One that does not answer has `trouble`."""
    context = request.app[CONTEXT]
    directory = context.manager.directory
    others = {*directory.shards.values(), directory.control} - {context.address, ""}
    found = await asyncio.gather(*(_other(context, address) for address in sorted(others)))
    own = {"address": context.address, "trouble": None, "status": figures(context)}
    return json_answer(
        {
            "now": context.clock.now_ms(),
            "partitions": context.settings.partitions,
            "workers": [own, *found],
        }
    )


async def internal_status(request: web.Request) -> web.Response:
    """The figures, for another worker."""
    return web.json_response(figures(request.app[CONTEXT]))


async def internal_self(request: web.Request) -> web.Response:
    """Which process this is, see agents/scatter/self_check.py."""
    return web.json_response({"worker": request.app[CONTEXT].name})


async def _other(context: WorkerContext, address: str) -> dict[str, Any]:
    why = None
    try:
        async with asyncio.timeout(WAIT_S), AsyncExitStack() as held:
            asking = context.peers.ask("GET", f"{address}{_INTERNAL}")
            answer = await held.enter_async_context(asking)
            if answer.status == HTTPStatus.OK:
                return {"address": address, "trouble": None, "status": await json_of(answer)}
            why = f"it answers {answer.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = trouble(error)
    except Recoverable as error:
        why = str(error)
    return {"address": address, "trouble": why, "status": None}


ROUTES = (
    Route(
        method="GET",
        path="/workers",
        handler=workers,
        summary="The figures of all workers, as each gives them, asked at once",
        scope=Scope.READ,
        answers={"application/json": ref("Workers")},
    ),
    Route(
        method="GET",
        path=_INTERNAL,
        handler=internal_status,
        summary="The figures of a worker, for another worker",
        scope=Scope.WORKER,
    ),
    Route(
        method="GET",
        path=SELF,
        handler=internal_self,
        summary="Which process answers, for the process itself",
        scope=Scope.WORKER,
    ),
)

"""The routes by which workers query each other's shards: one for each query of `agents.scatter`.

Not part of the contract: they may change with any version.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import hdrs, web

from agents.http import body
from agents.http.keys import Scope
from agents.http.parameters import number
from agents.http.problems import bad_request, shards_unavailable
from agents.http.route import Handler, Route
from agents.scatter.audience_query import AudienceQuery
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.figures import FiguresQuery
from agents.scatter.query import (
    FRAMES,
    GENERATION,
    HELD_BACK,
    LAG,
    ShardStream,
    StreamQuery,
    UnaryQuery,
)
from agents.scatter.rows import RowsQuery
from agents.scatter.sizes import OutlineQuery, SizesQuery
from agents.scatter.user_queries import ArchivedUserQuery, FindQuery, IdentifyQuery, UsersQuery
from agents.scatter.wire import END, pack
from agents.supervision.shard_manager import NotHeld, Shard
from agents.web.stream import stream
from schemas.errors import UsageError

__all__ = ["ROUTES"]

_QUERIES: tuple[type[UnaryQuery[Any] | StreamQuery[Any]], ...] = (
    RowsQuery,
    AudienceQuery,
    UsersQuery,
    ArchivedUserQuery,
    FindQuery,
    IdentifyQuery,
    FiguresQuery,
    SizesQuery,
    OutlineQuery,
)


def _answered(kind: type[UnaryQuery[Any] | StreamQuery[Any]]) -> Handler:
    """The handler of one kind of query. It raises Problem for an invalid query (400) and if the
    shard is not here (503), and Recoverable if the shard cannot answer now.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        context = request.app[CONTEXT]
        sent = await body.read(request, kind.most_bytes)
        shard = _shard(context, request.match_info["partition"])
        generation = context.manager.generation
        try:
            query = await kind.received(request.query, sent)
            found = await query.here(context, shard)
            return await _sent(request, query, found, generation)
        except UsageError as error:
            raise bad_request(str(error)) from error

    return handler


async def _sent(
    request: web.Request,
    query: UnaryQuery[Any] | StreamQuery[Any],
    found: Any,
    generation: int,
) -> web.StreamResponse:
    headers = {GENERATION: str(generation)}
    if isinstance(query, UnaryQuery):
        _check(request, generation)
        headers[hdrs.CONTENT_TYPE] = query.media
        return web.Response(body=await query.pack(found), headers=headers)
    async with aclosing(found):
        _check(request, generation)
        headers |= {
            hdrs.CONTENT_TYPE: FRAMES,
            LAG: str(found.lag),
            HELD_BACK: str(found.held_back),
        }
        return await stream(request, _packed(query, found), headers)


def _check(request: web.Request, generation: int) -> None:
    if request.app[CONTEXT].manager.generation != generation:
        raise NotHeld("the group has a new generation")


async def _packed(query: StreamQuery[Any], found: ShardStream[Any]) -> AsyncGenerator[bytes, None]:
    async for item in found.items:
        yield await asyncio.to_thread(pack, query.to_frame(item))
    yield END


def _shard(context: WorkerContext, partition: str) -> Shard:
    asked = number(partition)
    if asked is None:
        raise bad_request(f"partition is a number, not {partition[:40]!r}")
    if asked not in context.manager.shards:
        raise shards_unavailable(f"shard {asked} is not here")
    shard = context.manager.shards[asked]
    if shard is None:
        raise shards_unavailable(f"shard {asked} is recovering")
    return shard


def _route(kind: type[UnaryQuery[Any] | StreamQuery[Any]]) -> Route:
    return Route(
        method=kind.method,
        path=f"/internal/shards/{{partition}}/{kind.name}",
        handler=_answered(kind),
        summary=kind.summary,
        scope=Scope.WORKER,
    )


ROUTES = tuple(map(_route, _QUERIES))

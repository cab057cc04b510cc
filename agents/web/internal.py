"""What workers ask of each other. Not part of the contract: may change with any version."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import polars as pl
from aiohttp import web

from agents.audience.plan_json import MOST_BYTES, decode
from agents.http import body
from agents.http.keys import Scope
from agents.http.number import number
from agents.http.problems import bad_request, shards_unavailable
from agents.http.route import Route
from agents.scatter.context import CONTEXT, Context
from agents.scatter.parts import GENERATION, HELD_BACK, LAG
from agents.scatter.sizes import sizes_here
from agents.scatter.wire import END, pack
from agents.supervision.shard_manager import NotHeld, Shard
from agents.web.stream import stream
from schemas.errors import Recoverable

__all__ = ["ROUTES", "shard_audience", "shard_interactions", "shard_sizes"]


async def shard_interactions(request: web.Request) -> web.StreamResponse:
    """GET /internal/shards/{partition}/interactions?source=&version=: frames (see wire.py)."""
    context = request.app[CONTEXT]
    source = request.query.get("source", "")
    shard = _shard(context, request.match_info["partition"])
    version = _number("version", request.query.get("version", ""))
    headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
    generation = context.manager.generation
    rows: AsyncIterator[pl.DataFrame] | None = None
    try:
        rows = shard.read(source, version)
        first = await anext(rows, None)
        if context.manager.generation != generation:
            raise NotHeld("the group has a new generation")
        headers[GENERATION] = str(generation)
        return await stream(request, _packed(first, rows), headers)
    except Recoverable as error:
        raise shards_unavailable(str(error)) from error
    finally:
        if isinstance(rows, AsyncGenerator):
            await rows.aclose()


async def shard_audience(request: web.Request) -> web.StreamResponse:
    """POST /internal/shards/{partition}/audience with a plan: frames of users (see wire.py)."""
    context = request.app[CONTEXT]
    shard = _shard(context, request.match_info["partition"])
    generation = context.manager.generation
    try:
        plan = decode(await body.read(request, MOST_BYTES))
        # before the pin: what is folded after that is not in the answer
        status = shard.status
        users = await shard.audience(plan)
    except Recoverable as error:
        raise shards_unavailable(str(error)) from error
    async with aclosing(users):
        if context.manager.generation != generation:
            raise shards_unavailable("the group has a new generation")
        headers = {
            "Content-Type": "application/vnd.apache.arrow.stream",
            GENERATION: str(generation),
            LAG: str(status.events_behind + sum(context.topics.unread(shard.partition).values())),
            HELD_BACK: str(status.events_held_back),
        }
        return await stream(request, _packed_users(users), headers)


async def shard_sizes(request: web.Request) -> web.Response:
    """POST /internal/sizes with `{"sources": [..]}`: sizes by shard of this worker."""
    context = request.app[CONTEXT]
    asked = await body.read_json(request, "sources")
    shards = sizes_here(context, asked["sources"])
    return web.json_response({"generation": context.manager.generation, "shards": shards})


async def _packed_users(users: AsyncGenerator[pl.Series, None]) -> AsyncGenerator[bytes, None]:
    async for series in users:
        yield await asyncio.to_thread(pack, series.to_frame("user"))
    yield END


async def _packed(
    first: pl.DataFrame | None, rows: AsyncIterator[pl.DataFrame]
) -> AsyncGenerator[bytes, None]:
    if first is not None:
        yield await asyncio.to_thread(pack, first)
        async for frame in rows:
            yield await asyncio.to_thread(pack, frame)
    yield END


def _shard(context: Context, partition: str) -> Shard:
    asked = _number("partition", partition)
    if asked not in context.manager.shards:
        raise shards_unavailable(f"shard {asked} is not here")
    shard = context.manager.shards[asked]
    if shard is None:
        raise shards_unavailable(f"shard {asked} is recovering")
    return shard


def _number(name: str, text: str) -> int:
    found = number(text)
    if found is None:
        raise bad_request(f"{name} is a number, not {text[:40]!r}")
    return found


ROUTES = (
    Route(
        method="GET",
        path="/internal/shards/{partition}/interactions",
        handler=shard_interactions,
        summary="One shard's rows of a source",
        scope=Scope.WORKER,
    ),
    Route(
        method="POST",
        path="/internal/shards/{partition}/audience",
        handler=shard_audience,
        summary="One shard's users that match",
        scope=Scope.WORKER,
    ),
    Route(
        method="POST",
        path="/internal/sizes",
        handler=shard_sizes,
        summary="Sizes of sources in this worker's shards",
        scope=Scope.WORKER,
    ),
)

"""What workers ask each other about users. Not part of the contract."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import TypeVar

import polars as pl
from aiohttp import web

from agents.http import body
from agents.http.number import number
from agents.http.problems import bad_request, shards_unavailable
from agents.scatter.ask import pack_users
from agents.scatter.context import CONTEXT
from agents.scatter.parts import GENERATION
from agents.scatter.wire import END, Truncated, pack, unpack_all
from agents.supervision.shard_manager import Shard
from agents.users.executor import execute
from schemas.errors import Recoverable
from schemas.tables.roster import Alias

__all__ = ["shard_find", "shard_identify", "shard_users"]

T = TypeVar("T")


async def shard_users(request: web.Request) -> web.Response:
    """POST /internal/shards/{partition}/users with `{"users": [..]}`: see ask.pack_users."""
    asked = await body.read_json(request, "users")
    read, headers = await _held(request, lambda shard: shard.users(asked["users"]))
    return web.Response(body=await execute(partial(pack_users, read)), headers=headers)


async def shard_find(request: web.Request) -> web.Response:
    """POST /internal/shards/{partition}/find with `external_ids` and `aliases`: the matches."""
    asked = await body.read_json(request, "external_ids", "aliases")
    aliases = [Alias(*each) for each in asked["aliases"]]
    found, headers = await _held(
        request, lambda shard: shard.find_users(asked["external_ids"], aliases)
    )
    matches = [list(asdict(match).values()) for match in found]
    return web.json_response({"matches": matches}, headers=headers)


async def shard_identify(request: web.Request) -> web.Response:
    """POST /internal/shards/{partition}/identify with one frame of users: their roster rows."""
    try:
        frames = await unpack_all(await body.read(request, body.MOST_WORKER_BYTES))
    except Truncated as error:
        raise bad_request(str(error)) from error
    if len(frames) != 1 or frames[0].schema != {"user": pl.String}:
        raise bad_request("one frame of users is expected")
    users = frames[0]["user"]
    found, headers = await _held(request, lambda shard: shard.identify(users))
    return web.Response(body=await asyncio.to_thread(pack, found) + END, headers=headers)


async def _held(
    request: web.Request, ask: Callable[[Shard], Awaitable[T]]
) -> tuple[T, dict[str, str]]:
    """A shard's answer and the generation in which it is given. Raises Problem (503)."""
    manager, text = request.app[CONTEXT].manager, request.match_info["partition"]
    asked = number(text)
    shard = None if asked is None else manager.shards.get(asked)
    if shard is None:
        raise shards_unavailable(f"shard {text[:40]} is not here")
    generation = manager.generation
    try:
        found = await ask(shard)
    except Recoverable as error:
        raise shards_unavailable(str(error)) from error
    if manager.generation != generation:
        raise shards_unavailable("the group has a new generation")
    return found, {GENERATION: str(generation)}

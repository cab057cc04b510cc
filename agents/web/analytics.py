"""GET /sources/{source}/analytics: totals and unique users, summed over all shards.

The body depends on the figures alone, so that it is the same, byte for byte, before, during
and after an expiry.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web

from agents.http.keys import Scope
from agents.http.problems import shards_unavailable, unknown_source
from agents.http.route import SOURCE, Route, query, ref
from agents.scatter.context import CONTEXT, Context
from agents.scatter.trouble import trouble
from agents.scatter.wire import Truncated, json_of
from agents.shard.analytics import TOTAL_COLUMNS, UNIQUE_COLUMNS, Figures, Rows
from agents.supervision.shard_manager import NotHeld
from schemas.errors import Recoverable

__all__ = ["ROUTES", "analytics", "shard_analytics"]

PATIENCE_S = 5.0
PAUSE_S = 0.25
DEADLINE_S = 30.0

_EPOCH = date(1970, 1, 1)
_URL = "/internal/analytics"


async def analytics(request: web.Request) -> web.Response:
    """Figures of all shards, or a problem. Hidden sources have them like all others."""
    context = request.app[CONTEXT]
    source = request.match_info["source"]
    if not context.states.caught_up.is_set():
        raise shards_unavailable("This worker has not read the state of the sources yet")
    if context.states.get(source) is None:
        raise unknown_source(source)
    found = await _gathered(context, source)
    body = {
        "source": source,
        "totals": [
            {**_named(TOTAL_COLUMNS, sort), "day": _day(sort[0]), "count": count}
            for sort, count in _summed(figures.totals for figures in found)
        ],
        "unique_users": [
            {**_named(UNIQUE_COLUMNS, sort), "users": users}
            for sort, users in _summed(figures.uniques for figures in found)
        ],
    }
    return web.json_response(body, headers={"Cache-Control": "no-store"})


async def shard_analytics(request: web.Request) -> web.Response:
    """GET /internal/analytics?source=: figures by shard of this worker."""
    context = request.app[CONTEXT]
    generation = context.manager.generation
    try:
        found = await _here(context, request.query.get("source", ""))
    except Recoverable as error:
        raise shards_unavailable(str(error)) from error
    shards = {str(partition): asdict(figures) for partition, figures in found.items()}
    return web.json_response({"generation": generation, "shards": shards})


async def _gathered(context: Context, source: str) -> list[Figures]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        try:
            return await _once(context, source)
        except Recoverable as error:
            if loop.time() > deadline:
                detail = f"The figures of {source} cannot be read now: {error}"
                raise shards_unavailable(detail) from error
            await asyncio.sleep(PAUSE_S)


async def _once(context: Context, source: str) -> list[Figures]:
    """The figures of every shard, once each, in one generation. Raises Recoverable."""
    manager = context.manager
    manager.check_in_touch()
    generation = manager.generation
    others = {
        address
        for shard, address in manager.directory.shards.items()
        if shard not in manager.shards
    }
    answers = await asyncio.gather(
        _here(context, source),
        *(_there(context, address, source, generation) for address in sorted(others)),
    )
    by_shard: dict[int, Figures] = {}
    for answer in reversed(answers):
        by_shard |= answer  # what is here counts, whatever another thinks that it holds
    missing = [p for p in range(context.settings.partitions) if p not in by_shard]
    if missing:
        raise NotHeld(f"shards {', '.join(map(str, missing))} have not answered")
    if manager.generation != generation:
        raise NotHeld("the group has a new generation")
    return list(by_shard.values())


async def _here(context: Context, source: str) -> dict[int, Figures]:
    held = {
        partition: shard
        for partition, shard in context.manager.shards.items()
        if shard is not None and shard.ready
    }
    # one after the other: each may hold a few segments in memory
    return {partition: await shard.analytics(source) for partition, shard in held.items()}


async def _there(
    context: Context, address: str, source: str, generation: int
) -> dict[int, Figures]:
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            context.ask("GET", address + _URL, params={"source": source}) as answer,
        ):
            if answer.status != HTTPStatus.OK:
                raise NotHeld(f"the worker at {address} answers {answer.status}")
            body = await json_of(answer)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotHeld(f"the worker at {address}: {trouble(error)}") from error
    if body.get("generation") != generation:
        raise NotHeld(f"the worker at {address} is of generation {body.get('generation')}")
    try:
        return {int(shard): Figures(**figures) for shard, figures in body["shards"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Truncated(f"the worker at {address} sends no figures: {error!r}") from error


def _summed(parts: Iterable[Rows]) -> list[tuple[tuple[Any, ...], int]]:
    total: Counter[tuple[Any, ...]] = Counter()
    for rows in parts:
        for *sort, count in rows:
            total[tuple(sort)] += int(count or 0)
    return sorted(total.items(), key=lambda item: json.dumps(item[0]))


def _named(names: tuple[str, ...], sort: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, sort, strict=True))


def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()


ROUTES = (
    Route(
        method="GET",
        path="/sources/{source}/analytics",
        handler=analytics,
        summary="Totals by day, kind, channel, step and variation, and unique users: the same "
        "before and after an expiry",
        scope=Scope.READ,
        parameters=(SOURCE,),
        answers={"application/json": ref("Analytics")},
        problems=("unknown_source", "shards_unavailable"),
    ),
    Route(
        method="GET",
        path=_URL,
        handler=shard_analytics,
        summary="Figures of a source in this worker's shards",
        scope=Scope.WORKER,
        parameters=(query("source", "Which", required=True),),
    ),
)

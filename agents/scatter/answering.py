"""Answers a query that another worker sends to a shard of this worker."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agents.http.parameters import number
from agents.scatter.audience_query import AudienceQuery
from agents.scatter.context import WorkerContext
from agents.scatter.figures import FiguresQuery
from agents.scatter.merges import MergesQuery
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
from schemas.errors import UsageError

__all__ = ["QUERIES", "QueryKind", "ShardAnswer", "answered"]

QueryKind = type[UnaryQuery[Any] | StreamQuery[Any]]

QUERIES: tuple[QueryKind, ...] = (
    RowsQuery,
    AudienceQuery,
    MergesQuery,
    UsersQuery,
    ArchivedUserQuery,
    FindQuery,
    IdentifyQuery,
    FiguresQuery,
    SizesQuery,
    OutlineQuery,
)


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """The parts of an answer of one shard: `body` is complete, or a stream of bytes."""

    media: str
    headers: Mapping[str, str]
    body: bytes | AsyncGenerator[bytes, None]


@asynccontextmanager
async def answered(
    context: WorkerContext, kind: QueryKind, partition: str, params: Mapping[str, str], sent: bytes
) -> AsyncIterator[ShardAnswer]:
    """The answer to the query with these parameters and this body, valid inside of the context.

    Raises UsageError for an invalid query, and Recoverable if the shard is not here or cannot
    answer now.
    """
    shard = _shard(context, partition)
    generation = context.manager.generation
    headers = {GENERATION: str(generation)}
    query = await kind.received(params, sent)
    found = await query.here(context, shard)
    if isinstance(query, UnaryQuery):
        _check(context, generation)
        yield ShardAnswer(query.media, headers, await query.pack(found))
        return
    async with aclosing(found):
        _check(context, generation)
        headers |= {LAG: str(found.lag), HELD_BACK: str(found.held_back)}
        yield ShardAnswer(FRAMES, headers, _packed(query, found))


def _check(context: WorkerContext, generation: int) -> None:
    if context.manager.generation != generation:
        raise NotHeld("the group has a new generation")


async def _packed(query: StreamQuery[Any], found: ShardStream[Any]) -> AsyncGenerator[bytes, None]:
    async for item in found.items:
        yield await asyncio.to_thread(pack, query.to_frame(item))
    yield END


def _shard(context: WorkerContext, partition: str) -> Shard:
    asked = number(partition)
    if asked is None:
        raise UsageError(f"partition is a number, not {partition[:40]!r}")
    if asked not in context.manager.shards:
        raise NotHeld(f"shard {asked} is not here")
    shard = context.manager.shards[asked]
    if shard is None:
        raise NotHeld(f"shard {asked} is recovering")
    return shard

"""Asks one shard, in this worker or in another."""

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import TypeVar

import aiohttp
import polars as pl

from agents.scatter.context import WorkerContext
from agents.scatter.query import GENERATION, ShardQuery, ShardStream
from agents.scatter.trouble import trouble
from agents.scatter.wire import Truncated
from agents.supervision.shard_manager import NotHeld

__all__ = ["ask", "worker_of"]

T = TypeVar("T")


async def ask(context: WorkerContext, partition: int, query: ShardQuery[T]) -> T:
    """A shard's answer; the caller must close a stream.

    Before and after the answer, the group must have acknowledged this worker recently, and both
    workers must have the same generation. Raises Recoverable. NotHeld: the shard is not there,
    holds other versions or has another generation. Truncated: the other worker does not answer, or
    its answer is incomplete or invalid. Reading a stream raises the same errors.
    """
    manager = context.manager
    manager.check_in_touch()
    generation = manager.generation
    address = worker_of(context, partition)
    if address is None:
        shard = manager.shards[partition]
        if shard is None:
            raise NotHeld(f"shard {partition} is recovering")
        found = await query.here(context, shard)
    else:
        found = await _there(context, f"{address}/internal/shards/{partition}/{query.name}", query)
    if manager.generation != generation:
        if isinstance(found, ShardStream):
            await found.aclose()
        raise NotHeld("the group has a new generation")
    return found


def worker_of(context: WorkerContext, partition: int) -> str | None:
    """The address of the worker that has a shard; None for this worker. Raises NotHeld."""
    if partition in context.manager.shards:
        return None
    address = context.manager.directory.shards.get(partition)
    if address is None:
        raise NotHeld(f"no worker serves shard {partition} yet")
    return address


async def _there(context: WorkerContext, url: str, query: ShardQuery[T]) -> T:
    try:
        async with asyncio.timeout(query.wait_s), AsyncExitStack() as held:
            asking = context.peers.ask(query.method, url, params=query.params(), body=query.body())
            answer = await held.enter_async_context(asking)
            if answer.status != HTTPStatus.OK:
                raise NotHeld(f"{url} answers {answer.status}")
            generation = answer.headers.get(GENERATION, "none")
            if generation != str(context.manager.generation):
                raise NotHeld(f"{url} is of generation {generation}")
            return await query.read(answer, held)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{url}: {trouble(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise Truncated(f"{url} sends something else: {error!r}") from error

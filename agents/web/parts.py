"""One shard's rows, wherever the shard runs."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

import aiohttp
import polars as pl

from agents.host import NotHeld
from agents.web.context import Context
from agents.web.wire import Truncated, unpack

__all__ = ["GENERATION", "part"]

GENERATION = "Emberline-Generation"
"""Header of every internal answer: the generation of the group in which it is given."""


async def part(
    context: Context, partition: int, source: str, version: int
) -> AsyncGenerator[pl.DataFrame, None]:
    """Rows of `source` at exactly `version`, from one shard of this or another worker.

    Raises NotHeld, before the first frame, where the shard is not there or holds another
    version, and where the other worker is of another generation; Truncated where another
    worker's answer breaks off.
    """
    host = context.host
    if partition in host.shards:
        shard = host.shards[partition]
        if shard is None:
            raise NotHeld(f"shard {partition} is recovering")
        rows = shard.read(source, version)
        try:
            async for frame in rows:
                yield frame
        finally:
            # not left to the garbage collector: an open read may hold on to segments
            if isinstance(rows, AsyncGenerator):
                await rows.aclose()
        return
    address = host.directory.shards.get(partition)
    if address is None:
        raise NotHeld(f"nobody serves shard {partition} yet")
    async with aclosing(_remote(context, address, partition, source, version)) as frames:
        async for frame in frames:
            yield frame


async def _remote(
    context: Context, address: str, partition: int, source: str, version: int
) -> AsyncGenerator[pl.DataFrame, None]:
    url = f"{address}/internal/shards/{partition}/interactions"
    asked = {"source": source, "version": str(version)}
    try:
        async with context.session.get(url, params=asked) as answer:
            generation = answer.headers.get(GENERATION, "none")
            if answer.status != HTTPStatus.OK:
                raise NotHeld(f"shard {partition} at {address} answers {answer.status}")
            if generation != str(context.host.generation):
                raise NotHeld(f"shard {partition} at {address} is of generation {generation}")
            async for frame in unpack(answer.content):
                yield frame
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"shard {partition} at {address}: {error!r}") from error

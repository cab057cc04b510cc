"""One shard's part of an audience, wherever the shard runs."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
import polars as pl

from agents.filters import Plan
from agents.host import NotHeld
from agents.query.plan_json import encode
from agents.web.context import Context
from agents.web.parts import GENERATION
from agents.web.wire import Truncated, unpack

__all__ = ["LAG", "Part", "part"]

LAG = "Emberline-Lag"
"""Header of another worker's part: events that the shard had not folded when it was pinned."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pinned: `users` has the matching ones in ascending order, in parts. To be closed."""

    lag: int
    users: AsyncGenerator[pl.Series, None]
    _held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def aclose(self) -> None:
        """Let go of the shard, however much was read."""
        await self.users.aclose()
        await self._held.aclose()


async def part(context: Context, partition: int, plan: Plan) -> Part:
    """Pin one shard of this or another worker.

    Raises NotHeld where it is not there, holds other versions or is of another generation;
    Truncated where another worker does not answer. `users` raises Truncated where its answer
    breaks off.
    """
    host = context.host
    if partition in host.shards:
        shard = host.shards[partition]
        if shard is None:
            raise NotHeld(f"shard {partition} is recovering")
        users = await shard.audience(plan)
        return Part(sum(shard.status.lag.values()), users)
    address = host.directory.shards.get(partition)
    if address is None:
        raise NotHeld(f"nobody serves shard {partition} yet")
    return await _remote(context, address, partition, plan)


async def _remote(context: Context, address: str, partition: int, plan: Plan) -> Part:
    url = f"{address}/internal/shards/{partition}/audience"
    where = f"shard {partition} at {address}"
    try:
        async with AsyncExitStack() as held:
            asking = context.session.post(url, data=encode(plan))
            answer = await held.enter_async_context(asking)
            if answer.status != HTTPStatus.OK:
                raise NotHeld(f"{where} answers {answer.status}")
            generation = answer.headers.get(GENERATION, "none")
            if generation != str(context.host.generation):
                raise NotHeld(f"{where} is of generation {generation}")
            lag = int(answer.headers.get(LAG, "0"))
            return Part(lag, _users(answer, where), held.pop_all())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{where}: {error!r}") from error


async def _users(answer: aiohttp.ClientResponse, where: str) -> AsyncGenerator[pl.Series, None]:
    try:
        async for frame in unpack(answer.content):
            yield frame["user"]
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{where}: {error!r}") from error

"""One shard's part of an audience, wherever the shard runs."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import aiohttp
import polars as pl

from agents.filters import Plan
from agents.http.number import number
from agents.scatter.context import Context
from agents.scatter.parts import HELD_BACK, LAG, Part, frames_of, here_or_where, shard_answer
from agents.scatter.wire import Truncated

__all__ = ["users_of"]


async def users_of(context: Context, partition: int, plan: Plan, told: bytes) -> Part[pl.Series]:
    """The matching users of one shard of this or another worker, in ascending order, in parts.

    `told` is the plan as another worker reads it. Raises NotHeld where the shard is not there,
    holds other versions or is of another generation; Truncated where another worker does not
    answer, or its answer breaks off.
    """
    found = here_or_where(context, partition)
    if not isinstance(found, str):
        # before the pin: what is folded after that is not in the answer
        status = found.status
        waiting = status.events_behind + sum(context.topics.unread(partition).values())
        return Part(await found.audience(plan), waiting, status.events_held_back)
    url = f"{found}/internal/shards/{partition}/audience"
    async with AsyncExitStack() as held:
        answer = await shard_answer(context, held, "POST", url, data=told)
        behind, held_back = (number(answer.headers.get(name, "")) for name in (LAG, HELD_BACK))
        if behind is None or held_back is None:
            raise Truncated(f"{url} does not say how far it is behind")
        return Part(_users(answer), behind, held_back, held.pop_all())


async def _users(answer: aiohttp.ClientResponse) -> AsyncGenerator[pl.Series, None]:
    async for frame in frames_of(answer):
        if frame.schema != {"user": pl.String}:
            raise Truncated(f"{answer.url} sends something else than users")
        yield frame["user"]

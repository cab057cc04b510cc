"""One shard's part of an answer, wherever the shard runs."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import aiohttp
import polars as pl

from agents.scatter.context import Context
from agents.scatter.trouble import trouble
from agents.scatter.wire import Truncated, unpack
from agents.supervision.shard_manager import NotHeld, Shard

__all__ = [
    "GENERATION",
    "HELD_BACK",
    "LAG",
    "Part",
    "frames_of",
    "here_or_where",
    "rows_of",
    "shard_answer",
]

GENERATION = "Emberline-Generation"
"""Header of every internal answer: the generation of the group in which it is given."""
LAG = "Emberline-Lag"
"""Header of another worker's part: events that the shard had not folded when it was pinned."""
HELD_BACK = "Emberline-Held-Back"
"""Header beside it: of those, events behind a transaction that their producer has not ended."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Part(Generic[T]):
    """Pinned: `items` is what the shard yields. To be closed."""

    items: AsyncGenerator[T, None]
    lag: int = 0
    held_back: int = 0
    held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def aclose(self) -> None:
        """Let go of the shard, however much was read."""
        await self.items.aclose()
        await self.held.aclose()


def here_or_where(context: Context, partition: int) -> Shard | str:
    """The shard, if it is in this worker, or else the address of the worker that has it.

    Raises NotHeld where nobody has it, or it is recovering.
    """
    manager = context.manager
    if partition in manager.shards:
        shard = manager.shards[partition]
        if shard is None:
            raise NotHeld(f"shard {partition} is recovering")
        return shard
    address = manager.directory.shards.get(partition)
    if address is None:
        raise NotHeld(f"nobody serves shard {partition} yet")
    return address


async def shard_answer(
    context: Context,
    held: AsyncExitStack,
    method: str,
    url: str,
    *,
    params: Mapping[str, str] | None = None,
    data: bytes = b"",
) -> aiohttp.ClientResponse:
    """Another worker's answer, as long as `held` is open. Raises NotHeld where it is not 200 or
    of another generation, Truncated where there is none."""
    try:
        asking = context.ask(method, url, params=params, body=data)
        answer = await held.enter_async_context(asking)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{url}: {trouble(error)}") from error
    if answer.status != HTTPStatus.OK:
        raise NotHeld(f"{url} answers {answer.status}")
    generation = answer.headers.get(GENERATION, "none")
    if generation != str(context.manager.generation):
        raise NotHeld(f"{url} is of generation {generation}")
    return answer


async def frames_of(answer: aiohttp.ClientResponse) -> AsyncGenerator[pl.DataFrame, None]:
    """The frames of another worker's answer. Raises Truncated where it breaks off."""
    try:
        async for frame in unpack(answer.content):
            yield frame
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{answer.url}: {trouble(error)}") from error


async def rows_of(
    context: Context, partition: int, source: str, version: int
) -> Part[pl.DataFrame]:
    """Rows of `source` at exactly `version`, from one shard of this or another worker; the
    first frame is there.

    Raises NotHeld where the shard is not there or holds another version, and where the other
    worker is of another generation; Truncated where another worker's answer breaks off, as
    does reading on.
    """
    found = here_or_where(context, partition)
    async with AsyncExitStack() as held:
        rows: AsyncIterator[pl.DataFrame]
        if isinstance(found, str):
            url = f"{found}/internal/shards/{partition}/interactions"
            asked = {"source": source, "version": str(version)}
            rows = frames_of(await shard_answer(context, held, "GET", url, params=asked))
        else:
            rows = found.read(source, version)
        if isinstance(rows, AsyncGenerator):
            # not left to the garbage collector: an open read may hold on to segments
            held.push_async_callback(rows.aclose)
        first = await anext(rows, None)
        return Part(_from(first, rows), held=held.pop_all())


async def _from(
    first: pl.DataFrame | None, rows: AsyncIterator[pl.DataFrame]
) -> AsyncGenerator[pl.DataFrame, Any]:
    if first is not None:
        yield first
        async for frame in rows:
            yield frame

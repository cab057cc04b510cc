"""Sizes of sources, of one shard and summed over all."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Self, TypeVar

import aiohttp
import orjson
import polars as pl

from agents.resources.threads import execute
from agents.scatter.client import ask
from agents.scatter.context import WorkerContext
from agents.scatter.query import FRAMES, UnaryQuery
from agents.scatter.wire import END, Truncated, json_of, lists_of, pack, unpack
from agents.shard.source_sizes import OUTLINE, summed
from agents.supervision.shard_manager import NotHeld, Shard, SourceSize
from schemas.errors import Recoverable

__all__ = ["OutlineQuery", "Sizes", "SizesQuery", "outline", "sizes"]

T = TypeVar("T")

log = logging.getLogger(__name__)

BySource = Mapping[str, SourceSize]


@dataclass(frozen=True, slots=True)
class SizesQuery(UnaryQuery[BySource]):
    """The sizes of those of `sources` with data in a shard."""

    sources: Sequence[str]

    name = "sizes"
    summary = "Sizes of sources in a shard"
    wait_s = 5.0

    def body(self) -> bytes:
        """`{"sources": [..]}`."""
        return orjson.dumps({"sources": list(self.sources)})

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises UsageError."""
        return cls(lists_of(body, "sources")["sources"])

    async def here(self, context: WorkerContext, shard: Shard) -> BySource:
        """Raises NotHeld."""
        if not shard.ready:
            raise NotHeld(f"shard {shard.partition} is recovering")
        return await shard.sizes(self.sources)

    async def pack(self, found: BySource) -> bytes:
        """An object by source."""
        return orjson.dumps({source: asdict(size) for source, size in found.items()})

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> BySource:
        """Raises Truncated for sizes that are none."""
        answered = await json_of(answer)
        found = {source: SourceSize(**size) for source, size in answered.items()}
        if not all(_is_size(size) for size in found.values()):
            raise Truncated(f"{answer.url} sends something else than sizes")
        return found


@dataclass(frozen=True, slots=True)
class OutlineQuery(UnaryQuery[pl.DataFrame]):
    """About the sizes of all sources in a shard, in the columns of OUTLINE."""

    name = "outline"
    summary = "About the sizes of all sources in a shard"
    wait_s = 20.0
    media = FRAMES

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Nothing is asked."""
        return cls()

    async def here(self, context: WorkerContext, shard: Shard) -> pl.DataFrame:
        """Raises NotHeld."""
        if not shard.ready:
            raise NotHeld(f"shard {shard.partition} is recovering")
        return await shard.outline()

    async def pack(self, found: pl.DataFrame) -> bytes:
        """One frame."""
        return await execute(partial(pack, found)) + END

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> pl.DataFrame:
        """Raises Truncated for other columns."""
        (found,) = [frame async for frame in unpack(answer.content)]
        if found.schema != OUTLINE:
            raise Truncated(f"{answer.url} sends something else than an outline")
        return found


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes by source; without those of the shards in `missing`."""

    by_source: dict[str, SourceSize]
    missing: tuple[int, ...]


async def sizes(context: WorkerContext, sources: Sequence[str]) -> Sizes:
    """Sizes of `sources` in all shards; a shard that cannot answer now is left out."""
    found = await _of_each(context, SizesQuery(sources))
    total = {source: SourceSize() for source in sources}
    for held in found:
        for source, size in (held or {}).items():
            if source in total:
                total[source] += size
    return Sizes(total, tuple(shard for shard, held in enumerate(found) if held is None))


async def outline(context: WorkerContext) -> pl.DataFrame:
    """About the sizes of all sources, each once; a shard that cannot answer now is left out."""
    found = await _of_each(context, OutlineQuery())
    return await execute(lambda: summed(part for part in found if part is not None))


def _is_size(size: SourceSize) -> bool:
    numbers = asdict(size)
    last = numbers.pop("last_day")
    return all(isinstance(n, int) for n in numbers.values()) and isinstance(last, int | None)


async def _of_each(context: WorkerContext, query: UnaryQuery[T]) -> list[T | None]:
    """The answers in the order of the shards; None of a shard that cannot answer now."""

    async def known(shard: int) -> T | None:
        try:
            return await ask(context, shard, query)
        except Recoverable as error:
            log.info("no sizes from shard %d: %s", shard, error)
            return None

    return await asyncio.gather(*map(known, range(context.settings.partitions)))

"""Sizes of sources, of one shard and summed over all."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Self

import aiohttp
import orjson

from agents.scatter.client import ask
from agents.scatter.context import WorkerContext
from agents.scatter.query import UnaryQuery
from agents.scatter.wire import Truncated, json_of, lists_of
from agents.supervision.shard_manager import NotHeld, Shard, SourceSize
from schemas.errors import Recoverable

__all__ = ["Sizes", "SizesQuery", "sizes"]

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
        held = shard.sources()
        return {source: held[source] for source in self.sources if source in held}

    async def pack(self, found: BySource) -> bytes:
        """An object by source."""
        return orjson.dumps({source: asdict(size) for source, size in found.items()})

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> BySource:
        """Raises Truncated for sizes that are none."""
        answered = await json_of(answer)
        found = {source: SourceSize(**size) for source, size in answered.items()}
        if not all(isinstance(n, int) for size in found.values() for n in asdict(size).values()):
            raise Truncated(f"{answer.url} sends something else than sizes")
        return found


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes by source; without those of the shards in `missing`."""

    by_source: dict[str, SourceSize]
    missing: tuple[int, ...]


async def sizes(context: WorkerContext, sources: Sequence[str]) -> Sizes:
    """Sizes of `sources` in all shards; a shard that cannot answer now is left out."""
    query = SizesQuery(sources)
    shards = range(context.settings.partitions)
    found = await asyncio.gather(*(_known(context, shard, query) for shard in shards))
    total = {source: SourceSize() for source in sources}
    for held in found:
        for source, size in (held or {}).items():
            if source in total:
                total[source] += size
    return Sizes(total, tuple(shard for shard in shards if found[shard] is None))


async def _known(context: WorkerContext, shard: int, query: SizesQuery) -> BySource | None:
    try:
        return await ask(context, shard, query)
    except Recoverable as error:
        log.info("no sizes from shard %d: %s", shard, error)
        return None

"""Asks all shards for the merges of their users."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

import aiohttp
import polars as pl

from agents.scatter.context import WorkerContext
from agents.scatter.gatherer import gather
from agents.scatter.merge_map import PlacedPersons
from agents.scatter.query import FRAMES, UnaryQuery
from agents.scatter.wire import END, Truncated, pack, unpack
from agents.shard.merge_list import Merges
from agents.supervision.shard_manager import Shard
from schemas.tables.merges import MERGES_SCHEMA

__all__ = ["MergesQuery", "persons_now"]

ANSWER_S = 20.0
_FAILING = "The merges of users cannot be read now"


@dataclass(frozen=True, slots=True)
class MergesQuery(UnaryQuery[Merges | None]):
    """The merges of a shard's users; None if they have the version `known`."""

    known: str

    name = "merges"
    method = "GET"
    summary = "Which users of a shard were merged into which"
    wait_s = ANSWER_S
    media = FRAMES

    def params(self) -> Mapping[str, str]:
        """The known version."""
        return {"known": self.known}

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """A missing version is no version."""
        return cls(params.get("known", ""))

    async def here(self, context: WorkerContext, shard: Shard) -> Merges | None:
        """Raises NotHeld."""
        return await shard.merges(self.known)

    async def pack(self, found: Merges | None) -> bytes:
        """Two frames, version and merges; none for the known version."""
        if found is None:
            return END
        meta = pl.DataFrame({"version": [found.version]})
        return pack(meta) + await asyncio.to_thread(pack, found.frame) + END

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> Merges | None:
        """Raises Truncated for something else than merges."""
        frames = [frame async for frame in unpack(answer.content)]
        if not frames:
            return None
        meta, merges = frames
        if merges.schema != MERGES_SCHEMA:
            raise Truncated(f"{answer.url} sends something else than merges")
        return Merges(merges, str(meta["version"].item()))


async def persons_now(context: WorkerContext) -> PlacedPersons:
    """The persons as of a moment since the call. Raises Unavailable."""
    known = context.merges.parts
    queries = [(shard, MergesQuery(each.version)) for shard, each in enumerate(known)]
    found = await gather(context, queries, _FAILING)
    parts = [old if new is None else new for old, new in zip(known, found, strict=True)]
    return await context.merges.taken(parts)

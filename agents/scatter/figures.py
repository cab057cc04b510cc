"""A source's figures, of one shard and of all shards."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any, Self

import aiohttp

from agents.scatter.context import WorkerContext
from agents.scatter.gatherer import gather
from agents.scatter.query import UnaryQuery
from agents.scatter.wire import Truncated, json_of
from agents.shard.analytics import TOTAL_COLUMNS, UNIQUE_COLUMNS, Figures
from agents.supervision.shard_manager import NotHeld, Shard

__all__ = ["FiguresQuery", "figures"]


@dataclass(frozen=True, slots=True)
class FiguresQuery(UnaryQuery[Figures]):
    """A shard's figures of a source, hidden or not.

    The shards of one worker are asked one after the other, because each may hold a few segments in
    memory.
    """

    source: str

    name = "analytics"
    method = "GET"
    summary = "One shard's figures of a source"
    wait_s = 30.0
    one_by_one = True

    def params(self) -> Mapping[str, str]:
        """The source."""
        return {"source": self.source}

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Any text may name a source."""
        return cls(params.get("source", ""))

    async def here(self, context: WorkerContext, shard: Shard) -> Figures:
        """Raises NotHeld."""
        if not shard.ready:
            raise NotHeld(f"shard {shard.partition} is recovering")
        return await shard.analytics(self.source)

    async def pack(self, found: Figures) -> bytes:
        """`{"totals": [[..], ..], "uniques": [[..], ..]}`."""
        return json.dumps(asdict(found)).encode()

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> Figures:
        """Raises Truncated for invalid rows."""
        found = Figures(**await json_of(answer))
        if not (_rows(found.totals, TOTAL_COLUMNS) and _rows(found.uniques, UNIQUE_COLUMNS)):
            raise Truncated(f"{answer.url} sends something else than figures")
        return found


async def figures(context: WorkerContext, source: str) -> list[Figures]:
    """The figures of every shard, of one generation. Raises Unavailable."""
    query = FiguresQuery(source)
    shards = range(context.settings.partitions)
    failing = f"The figures of {source} cannot be read now"
    return await gather(context, [(shard, query) for shard in shards], failing)


def _rows(found: Any, columns: tuple[str, ...]) -> bool:
    return isinstance(found, list) and all(
        isinstance(row, list)
        and len(row) == len(columns) + 1
        and all(value is None or isinstance(value, int | str) for value in row)
        and isinstance(row[-1], int | None)
        for row in found
    )

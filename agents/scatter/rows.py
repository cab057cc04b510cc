"""One source's rows: of one shard, or from all shards of one version, all or none."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import polars as pl

from agents.http.parameters import number
from agents.scatter.context import WorkerContext
from agents.scatter.gatherer import Gatherer
from agents.scatter.query import ShardStream, StreamQuery
from agents.scatter.visible import visible
from agents.supervision.shard_manager import Shard
from schemas.errors import UsageError

__all__ = ["RowsQuery", "SourceRows"]


@dataclass(frozen=True, slots=True)
class RowsQuery(StreamQuery[pl.DataFrame]):
    """Rows of `source` at exactly `version`. The answer begins only with its first frame."""

    source: str
    version: int

    name = "interactions"
    method = "GET"
    summary = "One shard's rows of a source"

    def params(self) -> Mapping[str, str]:
        """Source and version."""
        return {"source": self.source, "version": str(self.version)}

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises UsageError for a version that is no number."""
        version = number(text := params.get("version", ""))
        if version is None:
            raise UsageError(f"version is a number, not {text[:40]!r}")
        return cls(params.get("source", ""), version)

    async def here(self, context: WorkerContext, shard: Shard) -> ShardStream[pl.DataFrame]:
        """Raises NotHeld if the shard holds another version."""
        async with AsyncExitStack() as held:
            return await _begun(shard.read(self.source, self.version), held)

    async def read(
        self, answer: aiohttp.ClientResponse, held: AsyncExitStack
    ) -> ShardStream[pl.DataFrame]:
        """An answer that ends before its first frame counts as not begun. The lag of the shard does
        not matter for rows of one version.
        """
        return await _begun(self._items(answer), held)

    def to_frame(self, item: pl.DataFrame) -> pl.DataFrame:
        """As it is."""
        return item

    def from_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """As it is."""
        return frame


class SourceRows(Gatherer[pl.DataFrame]):
    """The folded rows of one source, from all shards.

    Entering raises Unavailable, UnknownSource, DeletedSource, HiddenSource.
    """

    def __init__(self, context: WorkerContext, source: str) -> None:
        super().__init__(context, f"{source} cannot be read now")
        self._source = source

    def query(self) -> RowsQuery:
        """The query for the version that is visible now."""
        return RowsQuery(self._source, visible(self._context, self._source).version)


async def _begun(
    rows: AsyncIterator[pl.DataFrame], held: AsyncExitStack
) -> ShardStream[pl.DataFrame]:
    if isinstance(rows, AsyncGenerator):
        # not left to the garbage collector: an open read may hold on to segments
        held.push_async_callback(rows.aclose)
    first = await anext(rows, None)
    return ShardStream(_from(first, rows), held=held.pop_all())


async def _from(
    first: pl.DataFrame | None, rows: AsyncIterator[pl.DataFrame]
) -> AsyncGenerator[pl.DataFrame, Any]:
    if first is not None:
        yield first
        async for frame in rows:
            yield frame

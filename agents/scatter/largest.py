"""The largest sources in the shards of this worker, looked for again now and then while somebody
asks: to look at all sources takes a thread, and no answer waits for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import polars as pl

from agents.shard.source_sizes import summed
from schemas.errors import Recoverable
from streams.clock import Clock

__all__ = ["EVERY_S", "LargestSources", "Outline"]

log = logging.getLogger(__name__)

EVERY_S = 60.0

Outline = Callable[[], Awaitable[pl.DataFrame]]
"""Reads the sizes of all sources of one shard: the columns of OUTLINE."""


class LargestSources:
    """The `most` sources with the most bytes, as last found. `outlines` gives the shards."""

    def __init__(self, clock: Clock, most: int, outlines: Callable[[], Iterable[Outline]]) -> None:
        self._now = clock.monotonic_s
        self._most = most
        self._outlines = outlines
        self._found: list[tuple[str, int, int]] = []
        self._looked_at: float | None = None
        self._looking: asyncio.Task[None] | None = None

    def found(self) -> list[tuple[str, int, int]]:
        """Source, hot rows and hot bytes of each; begins to look again if that is old."""
        due = self._looked_at is None or self._now() - self._looked_at >= EVERY_S
        if self._most and due and (self._looking is None or self._looking.done()):
            self._looked_at = self._now()
            self._looking = asyncio.create_task(self._look(), name="largest sources")
        return self._found

    async def _look(self) -> None:
        try:
            whole = summed([await outline() for outline in self._outlines()])
        except Recoverable as error:  # a shard has just left or begins: the next time finds it
            log.debug("the largest sources are not known: %s", error)
            return
        most = whole.filter(pl.col("bytes") > 0).top_k(self._most, by=["bytes", "source"])
        self._found = list(most.select("source", "rows", "bytes").iter_rows())

    async def close(self) -> None:
        """End a look under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

"""The sizes of all sources, read again now and then while somebody looks at an order by size."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import polars as pl

from agents.shard.source_sizes import OUTLINE
from streams.clock import Clock

__all__ = ["FRESH_S", "OLD_S", "Outlines"]

log = logging.getLogger(__name__)

FRESH_S = 2.0
"""An outline that is older is made anew, beside the answer."""
OLD_S = 10.0
"""An answer waits for a new outline if the last one is older."""


class Outlines:
    """The last outline. All who ask at once wait for the same one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found = pl.DataFrame(schema=OUTLINE)
        self._time = 0
        self._at: float | None = None
        self._making: asyncio.Task[None] | None = None

    async def latest(self, make: Callable[[], Awaitable[pl.DataFrame]]) -> tuple[pl.DataFrame, int]:
        """An outline, and when it was begun to be made, UTC milliseconds."""
        if self._age() > FRESH_S and (self._making is None or self._making.done()):
            self._making = asyncio.create_task(self._make(make), name="outline")
            self._making.add_done_callback(_ended)
        if self._age() > OLD_S and self._making is not None:
            await asyncio.shield(self._making)
        return self._found, self._time

    def _age(self) -> float:
        return OLD_S + 1.0 if self._at is None else self._clock.monotonic_s() - self._at

    async def _make(self, make: Callable[[], Awaitable[pl.DataFrame]]) -> None:
        at, time = self._clock.monotonic_s(), self._clock.now_ms()
        self._found = await make()
        self._at, self._time = at, time


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the sizes of all sources cannot be read", exc_info=error)

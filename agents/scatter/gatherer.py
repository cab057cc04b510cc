"""One answer of all shards: opened in one generation, all of them or none, retried a while."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from agents.scatter.context import Context
from agents.scatter.parts import Part
from agents.supervision.shard_manager import NotHeld
from schemas.errors import Fatal, Recoverable

__all__ = ["Gatherer", "Open", "ShardFailed", "Unavailable"]

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
PAUSE_S = 0.1
READY_ITEMS = 2
SILENCE_S = 60.0
"""A shard that yields nothing for so long has broken off."""

T = TypeVar("T")
Open = Callable[[int], Coroutine[Any, Any, Part[T]]]
"""Opens the part of one shard; raises Recoverable where that may do in a moment."""


class Unavailable(Recoverable):
    """Not all shards hold what the question needs, in one generation; after some patience."""


class ShardFailed(Fatal):
    """A shard's part ended in what is no ordinary error: a native library panicked, or what it
    waited for was cancelled. Asking again gives the same."""


class Gatherer(ABC, Generic[T]):
    """An asynchronous context manager, and an iterator over what all shards yield.

    Entering opens every shard's part, in one generation: nothing that happens later changes
    the answer, and one that has begun lacks a shard only if that shard breaks off. Entering
    raises Unavailable. `lag` (events: the shard furthest behind), `held_back` (events that wait
    for a producer to end its transaction: the shard with the most) and `evaluated_at_ms` are
    known once entered.

    Iterating yields the items of each shard in their order, shards in any order; it raises
    Recoverable where a shard breaks off, ShardFailed where it panics. At most one item a shard
    and two more are in memory.
    """

    wait_s: ClassVar[float]
    """So long a shard may take to open its part."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._parts: list[Part[T]] = []
        self._pumps: list[asyncio.Task[None]] = []
        self.lag = 0
        self.held_back = 0
        self.evaluated_at_ms = 0

    @abstractmethod
    def _asked(self) -> Open[T]:
        """What to open. Called for each attempt: meanwhile sources may have changed, or be
        hidden. Raises Recoverable where that may do in a moment; anything else ends it."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            try:
                self._parts = await self._opened(self._asked())
            except Recoverable as error:
                if loop.time() > deadline:
                    log.info("no whole answer now: %s", error)
                    raise Unavailable(f"There is no whole answer now: {error}") from error
                await asyncio.sleep(PAUSE_S)
            else:
                self.lag = max(part.lag for part in self._parts)
                self.held_back = max(part.held_back for part in self._parts)
                self.evaluated_at_ms = self._context.clock.now_ms()
                return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await _close(self._parts)

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        ready: asyncio.Queue[_Told[T]] = asyncio.Queue(READY_ITEMS)
        parts, self._parts = self._parts, []
        self._pumps = [asyncio.create_task(_pump(part, ready)) for part in parts]
        left = len(parts)
        while left:
            item = await _next(ready)
            if isinstance(item, Part):
                left -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield item[0]

    def streams(self) -> list[AsyncGenerator[T, None]]:
        """Instead of iterating: the items of each shard by themselves, in their order. Raises
        what iterating raises. At most two items a shard are in memory."""
        parts, self._parts = self._parts, []
        queues = [asyncio.Queue[_Told[T]](1) for _ in parts]
        self._pumps = [
            asyncio.create_task(_pump(part, queue))
            for part, queue in zip(parts, queues, strict=True)
        ]
        return [_told(queue) for queue in queues]

    async def _opened(self, open_part: Open[T]) -> list[Part[T]]:
        self._context.manager.check_in_touch()
        generation = self._context.manager.generation
        shards = range(self._context.settings.partitions)
        opening = [asyncio.create_task(open_part(shard)) for shard in shards]
        try:
            async with asyncio.timeout(self.wait_s):
                parts = await asyncio.gather(*opening)
            if self._context.manager.generation != generation:
                raise NotHeld("the group has a new generation")
        except BaseException as error:
            for each in opening:
                each.cancel()
            ended = await asyncio.gather(*opening, return_exceptions=True)
            await _close([each for each in ended if isinstance(each, Part)])
            if isinstance(error, TimeoutError):
                raise NotHeld(f"a shard did not answer within {self.wait_s:.0f} s") from error
            if isinstance(error, asyncio.CancelledError) and not cancelled_here(error):
                raise ShardFailed("What a shard's part waited for was cancelled") from error
            raise
        return parts


_Told = Part[T] | tuple[T] | Exception
"""An item, or how it ended: with the part itself where all of it was told."""


async def _next(queue: "asyncio.Queue[_Told[T]]") -> _Told[T]:
    try:
        async with asyncio.timeout(SILENCE_S):
            return await queue.get()
    except TimeoutError as error:
        raise NotHeld(f"nothing has come from a shard for {SILENCE_S:.0f} s") from error


async def _told(queue: "asyncio.Queue[_Told[T]]") -> AsyncGenerator[T, None]:
    while not isinstance(item := await _next(queue), Part):
        if isinstance(item, Exception):
            raise item
        yield item[0]


async def _pump(part: Part[T], ready: "asyncio.Queue[_Told[T]]") -> None:
    """Every end but its own cancellation is told: whoever waits at the queue has no other sign."""
    try:
        async with aclosing(part):
            async for item in part.items:
                await ready.put((item,))
        await ready.put(part)
    except Exception as error:
        await ready.put(error)
    except BaseException as error:
        if cancelled_here(error) or isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        failed = ShardFailed(f"A shard's part of the answer failed: {error!r}")
        failed.__cause__ = error
        await ready.put(failed)


def cancelled_here(error: BaseException) -> bool:
    """Whether it is the cancellation of the task that runs, and not of what that waited for."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())


async def _close(parts: list[Part[T]]) -> None:
    for part in parts:
        await part.aclose()

"""One answer of all shards of one generation, or none; attempts are repeated for a while."""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Generic, Self, TypeVar

from agents.scatter.client import ask, worker_of
from agents.scatter.context import WorkerContext
from agents.scatter.errors import ShardFailed
from agents.scatter.query import ShardQuery, ShardStream, StreamQuery, UnaryQuery
from agents.scatter.retry import retried
from agents.supervision.shard_manager import NotHeld
from streams.ending import end_all

__all__ = ["Gatherer", "gather"]

OPEN_S = 10.0
"""So long a shard may take to open its stream."""
READY_ITEMS = 2
SILENCE_S = 60.0
"""A shard that yields nothing for so long has broken off."""

T = TypeVar("T")


async def gather(
    context: WorkerContext, queries: Iterable[tuple[int, UnaryQuery[T]]], failing: str
) -> list[T]:
    """The answers to queries by shard, in their order; a shard may get several queries.

    Raises Unavailable, whose message begins with `failing`.
    """
    asked = list(queries)
    return await retried(lambda: _all_or_none(context, asked, None), failing)


class Gatherer(ABC, Generic[T]):
    """An asynchronous context manager, and an iterator over the items of all shards.

    Entering opens the stream of every shard, in one generation; it raises Unavailable. Later events
    do not change the answer. After entering, the answer lacks a shard only if iterating raises.
    `lag` (events of the shard with the largest lag), `held_back` (events that wait for a producer
    to end its transaction, of the shard with the most) and `evaluated_at_ms` are set after
    entering.

    Iterating yields the items of each shard in their order, and the shards in any order. It raises
    Recoverable if the stream of a shard ends early, ShardFailed if a shard panics. In memory are at
    most one item for each shard and two more.
    """

    def __init__(
        self, context: WorkerContext, failing: str = "There is no whole answer now"
    ) -> None:
        self._context = context
        self._failing = failing
        self._parts: list[ShardStream[T]] = []
        self._pumps: list[asyncio.Task[None]] = []
        self.lag = 0
        self.held_back = 0
        self.evaluated_at_ms = 0

    @abstractmethod
    def query(self) -> StreamQuery[T]:
        """The query for every shard. Called for each attempt, because sources may have changed or
        become hidden meanwhile. A Recoverable error leads to another attempt; any other error, also
        Unavailable, ends the attempts.
        """

    async def __aenter__(self) -> Self:
        self._parts = await retried(self._opened, self._failing)
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
        try:
            await end_all(self._pumps)
        finally:
            await _close(self._parts)

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        ready: asyncio.Queue[_Told[T]] = asyncio.Queue(READY_ITEMS)
        parts, self._parts = self._parts, []
        self._pumps = [asyncio.create_task(_pump(part, ready)) for part in parts]
        left = len(parts)
        while left:
            item = await _next(ready)
            if isinstance(item, ShardStream):
                left -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield item[0]

    def streams(self) -> list[AsyncGenerator[T, None]]:
        """Use it instead of iterating: the items of each shard separately, in their order. Raises
        the errors of iterating. In memory are at most two items for each shard.
        """
        parts, self._parts = self._parts, []
        queues = [asyncio.Queue[_Told[T]](1) for _ in parts]
        self._pumps = [
            asyncio.create_task(_pump(part, queue))
            for part, queue in zip(parts, queues, strict=True)
        ]
        return [_told(queue) for queue in queues]

    async def queries(self) -> list[tuple[int, StreamQuery[T]]]:
        """The query for each shard. Called and failing as `query`."""
        query = self.query()
        return [(shard, query) for shard in range(self._context.settings.partitions)]

    async def _opened(self) -> list[ShardStream[T]]:
        return await _all_or_none(self._context, await self.queries(), OPEN_S)


async def _all_or_none(
    context: WorkerContext, queries: Sequence[tuple[int, ShardQuery[T]]], wait_s: float | None
) -> list[T]:
    """One attempt, within `wait_s`. If it fails, all opened streams are closed."""
    context.manager.check_in_touch()
    generation = context.manager.generation
    turns: defaultdict[str | None, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def one(shard: int, query: ShardQuery[T]) -> T:
        if not query.one_by_one:
            return await ask(context, shard, query)
        async with turns[worker_of(context, shard)]:
            return await ask(context, shard, query)

    asking = [asyncio.create_task(one(*each)) for each in queries]
    try:
        async with asyncio.timeout(wait_s):
            found = await asyncio.gather(*asking)
        if context.manager.generation != generation:
            raise NotHeld("the group has a new generation")
    except BaseException as error:
        try:
            await end_all(asking)
        finally:
            ended = [each.result() for each in asking if _succeeded(each)]
            await _close([each for each in ended if isinstance(each, ShardStream)])
        if isinstance(error, TimeoutError):
            raise NotHeld(f"a shard did not answer within {wait_s:.0f} s") from error
        if isinstance(error, asyncio.CancelledError) and not cancelled_here(error):
            raise ShardFailed("What a shard's answer waited for was cancelled") from error
        raise
    return found


_Told = ShardStream[T] | tuple[T] | Exception
"""An item, or how it ended: with the part itself where all of it was told."""


async def _next(queue: "asyncio.Queue[_Told[T]]") -> _Told[T]:
    try:
        async with asyncio.timeout(SILENCE_S):
            return await queue.get()
    except TimeoutError as error:
        raise NotHeld(f"a shard has sent nothing for {SILENCE_S:.0f} s") from error


async def _told(queue: "asyncio.Queue[_Told[T]]") -> AsyncGenerator[T, None]:
    while not isinstance(item := await _next(queue), ShardStream):
        if isinstance(item, Exception):
            raise item
        yield item[0]


async def _pump(part: ShardStream[T], ready: "asyncio.Queue[_Told[T]]") -> None:
    """Puts every end except its own cancellation into the queue, because the waiting task has no
    other sign of it.
    """
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
    """Whether the running task itself was cancelled, and not a task that it waited for."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())


def _succeeded(task: "asyncio.Task[object]") -> bool:
    return not task.cancelled() and task.exception() is None


async def _close(parts: list[ShardStream[T]]) -> None:
    for part in parts:
        await part.aclose()

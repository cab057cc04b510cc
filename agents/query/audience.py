"""An audience over all shards: one question, one generation, all of them or none."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import polars as pl

from agents.filters import Node, OnExpired, Plan, Refused, plan
from agents.host import NotHeld
from agents.query.parts import Part, part
from agents.query.world import LiveWorld
from agents.web.context import Context
from schemas.errors import Fatal, Recoverable

__all__ = ["Audience", "Question", "RefusedAnswer", "Unavailable"]

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
PAUSE_S = 0.1
PIN_S = 30.0
"""A shard that is asked for the first time reads all its users."""
READY_PARTS = 2


class Unavailable(Recoverable):
    """Not all shards hold what the question needs, in one generation; after some patience."""


class RefusedAnswer(Fatal):
    """The question is understood and has no answer now: `refused` says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed filter, the one moment its durations are counted back from (UTC milliseconds),
    and what to do about hidden data."""

    node: Node
    now_ms: int
    on_expired: OnExpired = OnExpired.REFUSE


class Audience:
    """An asynchronous context manager and iterator: the matching users of all shards.

    Entering plans the question and pins every shard, in one generation; nothing that happens
    later changes the answer. Iterating yields series of users, each shard's in ascending
    order, shards in any order; it raises Recoverable where a shard breaks off. Few
    series are in memory at once.

    Entering raises RefusedAnswer, FilterError (a range that is empty at this `now`) and
    Unavailable. `plan`, `lag` (events: the shard furthest behind) and `evaluated_at_ms` are
    known once entered.
    """

    def __init__(self, context: Context, question: Question) -> None:
        self._context = context
        self._question = question
        self._parts: list[Part] = []
        self._pumps: list[asyncio.Task[None]] = []
        self.plan: Plan
        self.lag = 0
        self.evaluated_at_ms = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            # planned again each time: meanwhile a source may have changed, or be hidden
            try:
                await self._pin()
            except Recoverable as error:
                if loop.time() > deadline:
                    log.info("no audience now: %s", error)
                    raise Unavailable(f"There is no whole answer now: {error}") from error
                await asyncio.sleep(PAUSE_S)
            else:
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

    async def __aiter__(self) -> AsyncGenerator[pl.Series, None]:
        ready: asyncio.Queue[pl.Series | Exception | None] = asyncio.Queue(READY_PARTS)
        parts, self._parts = self._parts, []
        self._pumps = [asyncio.create_task(_pump(each, ready)) for each in parts]
        left = len(parts)
        while left:
            item = await ready.get()
            if item is None:
                left -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield item

    def _planned(self) -> Plan:
        context, question = self._context, self._question
        if not (context.states.caught_up.is_set() and context.catalog.caught_up.is_set()):
            raise NotHeld("this worker has not read sources and definitions yet")
        world = LiveWorld(context.states, context.catalog)
        found = plan(question.node, world, now_ms=question.now_ms, on_expired=question.on_expired)
        if isinstance(found, Refused):
            raise RefusedAnswer(found)
        return found

    async def _pin(self) -> None:
        self.plan = self._planned()
        generation = self._context.host.generation
        shards = range(self._context.settings.partitions)
        pins = [asyncio.create_task(part(self._context, p, self.plan)) for p in shards]
        try:
            async with asyncio.timeout(PIN_S):
                parts = await asyncio.gather(*pins)
        except BaseException as error:
            for pin in pins:
                pin.cancel()
            ended = await asyncio.gather(*pins, return_exceptions=True)
            await _close([each for each in ended if isinstance(each, Part)])
            if isinstance(error, TimeoutError):
                raise NotHeld(f"a shard did not answer within {PIN_S:.0f} s") from error
            raise
        if self._context.host.generation != generation:
            await _close(parts)
            raise NotHeld("the group has a new generation")
        self._parts = parts
        self.lag = max(each.lag for each in parts)
        self.evaluated_at_ms = self._context.clock.now_ms()


async def _pump(opened: Part, ready: asyncio.Queue[pl.Series | Exception | None]) -> None:
    try:
        async with aclosing(opened):
            async for series in opened.users:
                await ready.put(series)
        await ready.put(None)
    except Exception as error:
        await ready.put(error)


async def _close(parts: list[Part]) -> None:
    for opened in parts:
        await opened.aclose()

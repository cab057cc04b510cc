"""One shard's part of an audience: pinned at once, evaluated slice by slice in threads."""

import asyncio
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import polars as pl

from agents.filters import Plan, evaluate
from agents.pace import Pace
from agents.query.roll import Everybody, Roll
from agents.query.slices import Slice, slices
from agents.shard_read import check_held
from agents.work.context import Context
from streams.store import Pinned

__all__ = ["Audiences"]

#: For evaluations alone, so that however many wait, ingest and its commits find a thread.
_THREADS = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="audience")


@dataclass
class Audiences:
    """Answers of one shard. Keeps its users between questions."""

    context: Context
    pace: Pace
    _roll: Roll = field(default_factory=Roll)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find(self, plan: Plan) -> AsyncGenerator[pl.Series, None]:
        """Pin the shard; what is returned then yields the matching users in ascending order,
        whatever changes meanwhile.

        Raises `NotHeld` where the shard does not hold exactly the versions that `plan` pins.
        """
        pinning = asyncio.create_task(self._pin(plan))
        # A thread cannot be cancelled: it keeps its turn, even if nobody waits for it any more.
        pinning.add_done_callback(lambda done: done.cancelled() or done.exception())
        pinned, everybody = await asyncio.shield(pinning)
        return self._found(plan, pinned, everybody)

    async def _pin(self, plan: Plan) -> tuple[Pinned, Everybody]:
        async with self._turn:
            self._check(plan)
            pinned = await self.context.store.pin()
            # Other versions may have come while the pin was waited for.
            self._check(plan)
            loop = asyncio.get_running_loop()
            with self.pace.asking():
                return pinned, await loop.run_in_executor(_THREADS, self._roll.of, pinned)

    async def _found(
        self, plan: Plan, pinned: Pinned, everybody: Everybody
    ) -> AsyncGenerator[pl.Series, None]:
        loop = asyncio.get_running_loop()
        for part in slices(pinned, everybody):
            with self.pace.asking():
                users = await loop.run_in_executor(_THREADS, _evaluate, plan, part)
            if len(users):
                yield users

    def _check(self, plan: Plan) -> None:
        for source, version in plan.pins.items():
            check_held(self.context, source, version)


def _evaluate(plan: Plan, part: Slice) -> pl.Series:
    return evaluate(plan, part)

"""Limits how many answers are computed at once: in total, by their cost, and by key.

The limit comes from memory: an audience or a stream holds some frames of every shard, a file more.
So each kind of work has a number of slots, from the memory budget, and one key never gets all of
them. A request without a free slot waits in order for a limited time; if too many are waiting
already, it is refused at once. A request that ends returns its slot, and a request that gives up
waiting leaves the queue.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum

from agents.http.problems import Problem, try_again
from streams.clock import SYSTEM_CLOCK, Clock

__all__ = ["Admission", "Slots", "WorkKind"]

WAIT_S = 20.0
"""So long a request waits for a slot."""
QUEUE = 4
"""So many wait for each slot."""
RETRY_AFTER_S = 5


class WorkKind(StrEnum):
    """The kind of work of an answer: a look-up, a query over all users, all rows of a source as a
    stream, or all rows as one file.
    """

    LOOK_UP = "look-ups"
    AUDIENCE = "audiences"
    ROWS = "exports"
    FILE = "Parquet exports"


class Slots:
    """The slots of one kind of work. Use it in one event loop only."""

    def __init__(self, kind: WorkKind, most: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._kind = kind
        self._clock = clock
        self._most = most
        self._by_key = max(1, most - 1 if most < QUEUE else most * 3 // 4)
        self._held: Counter[str | None] = Counter()
        self._waiting: dict[asyncio.Future[None], str | None] = {}

    @property
    def most(self) -> int:
        """The number of slots."""
        return self._most

    @property
    def held(self) -> int:
        """The number of occupied slots."""
        return self._held.total()

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._waiting)

    @asynccontextmanager
    async def slot(self, key: str | None) -> AsyncIterator[None]:
        """A slot for the duration of the block; with `key` None all callers count as one.

        Raises Problem: 429 if this key has too many, otherwise 503.
        """
        await self._enter(key)
        try:
            yield
        finally:
            self._leave(key)

    async def _enter(self, key: str | None) -> None:
        if not self._waiting and self._fits(key):
            self._held[key] += 1
            return
        mine = sum(other == key for other in self._waiting.values())
        if key is not None and mine >= self._by_key * QUEUE:
            raise self._refusal(key)
        if len(self._waiting) >= self._most * QUEUE:
            raise self._refusal(None)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = key
        self._call()
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except BaseException as error:
            if self._waiting.pop(turn, None) is None and turn.done() and not turn.cancelled():
                # it was given and never taken
                self._leave(key)
            if isinstance(error, TimeoutError):
                raise self._refusal(key if self._held[key] >= self._by_key else None) from error
            raise

    def _leave(self, key: str | None) -> None:
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        self._call()

    def _call(self) -> None:
        """Give free slots to the first waiting requests that may have them."""
        for turn, key in list(self._waiting.items()):
            if self.held >= self._most:
                return
            if turn.done():
                continue
            if self._fits(key):
                del self._waiting[turn]
                self._held[key] += 1
                turn.set_result(None)

    def _fits(self, key: str | None) -> bool:
        return self.held < self._most and (key is None or self._held[key] < self._by_key)

    def _refusal(self, key: str | None) -> Problem:
        headers = try_again(RETRY_AFTER_S, self._clock.now_ms())
        if key is not None:
            return Problem(
                "too_many_requests",
                f"The key {key!r} already runs {self._by_key} {self._kind}, the most for one key, "
                "and the queue is full",
                headers=headers,
            )
        return Problem(
            "busy",
            f"The worker already runs {self._most} {self._kind}, the most that its memory allows, "
            "and the queue is full: ask again later",
            headers=headers,
        )


class Admission:
    """The slots of one worker, by kind."""

    def __init__(self, places: Mapping[str, int], clock: Clock = SYSTEM_CLOCK) -> None:
        """`places` as `agents.resources.budget.answers` gives them."""
        self.slots = {kind: Slots(kind, places[kind.name.lower()], clock) for kind in WorkKind}

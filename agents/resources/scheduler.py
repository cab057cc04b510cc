"""Priorities in a worker: queries, then ingest, then lifecycle work, then background work.

All of them share few cores, and Polars uses all cores for any operation. So work with a lower
priority pauses or shrinks while work with a higher one runs. Every wait has a time limit.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from streams.clock import SYSTEM_CLOCK, Clock

__all__ = ["Scheduler"]

#: Events wait at most this long, to be taken in together, while queries are answered.
_GATHER_S = 1.5
#: A query is answered in parts: it has ended when no part has followed for this time.
_PIECES_S = 0.05
#: Events that came within this time are still coming.
_COMING_S = 1.0
#: So long a shard waits for its turn before it looks what else there is to do.
_TURN_S = 0.1


class Scheduler:
    """The scheduler of one worker. Use it in the worker's event loop only."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic_s
        #: Held while one shard merges or indexes: ingest keeps the other cores.
        self.background = asyncio.Lock()
        self._lifecycle = asyncio.Lock()
        self._asked = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closing: asyncio.TimerHandle | None = None
        self._busy_since = float("inf")
        self._came = self._loaded = self._loaded_since = float("-inf")

    @property
    def asked(self) -> bool:
        """Whether a query is being answered."""
        return not self._quiet.is_set()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A context in which a part of an answer is computed."""
        self._asked += 1
        self._quiet.clear()
        if self._closing is not None:
            self._closing.cancel()
        try:
            yield
        finally:
            self._asked -= 1
            if not self._asked:
                self._closing = asyncio.get_running_loop().call_later(_PIECES_S, self._quiet.set)

    async def gather(self) -> None:
        """Called by ingest before it takes in a few events: while queries are answered, it waits
        for more events.

        Many events together cost a fraction of the same events one by one, so this leaves the cores
        to the queries and still takes in all events.
        """
        try:
            async with asyncio.timeout(_GATHER_S):
                await self._quiet.wait()
        except TimeoutError:
            return

    def events_came(self, *, load: bool) -> None:
        """Note that ingest has work; `load` says that it is catching up with a log of waiting
        events.
        """
        now = self._now()
        if load:
            if self._loaded + _COMING_S < now:
                self._loaded_since = now
            self._loaded = now
        self._came = now

    def leaves_room(self, seconds: float) -> bool:
        """Whether background work may run: no query is open and ingest keeps up, or this has not
        been the case for longer than `seconds`.
        """
        now = self._now()
        if self._quiet.is_set() and self._loaded + _COMING_S <= now:
            self._busy_since = float("inf")
            return True
        self._busy_since = min(now, self._busy_since)
        return self._busy_since + seconds <= now

    def keeping_up(self, seconds: float) -> bool:
        """Whether ingest is not catching up now, or has been catching up for longer than
        `seconds`.
        """
        now = self._now()
        return self._loaded + _COMING_S <= now or self._loaded_since + seconds <= now

    @asynccontextmanager
    async def lifecycle(self) -> AsyncIterator[bool]:
        """A context for one step of an expiry or a restore: while events come, only one shard at a
        time runs such a step.

        Yields False if it is still another shard's turn: try again later, because deltas may have
        to be flushed meanwhile.
        """
        if self._came + _COMING_S < self._now():
            yield True
            return
        async with _turn(self._lifecycle) as ours:
            yield ours

    @asynccontextmanager
    async def merging(self) -> AsyncIterator[bool]:
        """A context for a merge that ingest waits for: it does not wait for a pause, but only one
        shard at a time merges.

        Yields False if it is still another shard's turn: try again later.
        """
        async with _turn(self.background) as ours:
            yield ours


@asynccontextmanager
async def _turn(lock: asyncio.Lock) -> AsyncIterator[bool]:
    """Holds the lock; yields False if it was not free for a while."""
    try:
        async with asyncio.timeout(_TURN_S):
            await lock.acquire()
    except TimeoutError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()

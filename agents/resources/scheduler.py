"""Who goes first in a worker: questions, then ingest, then lifecycle work, then the background.

They share few cores, and Polars takes all of them for whatever it is asked. So those who can
do with less while others are at work do so. Nobody waits for long, and nobody for ever.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

__all__ = ["Scheduler"]

#: Events wait for so long at most to be taken in together while questions are answered.
_GATHER_S = 1.5
#: A question is answered in pieces: it is over when none has followed for so long.
_PIECES_S = 0.05
#: Events that came so lately come still.
_COMING_S = 1.0
#: So long a shard waits for its turn before it looks what else there is to do.
_TURN_S = 0.1


class Scheduler:
    """One worker's. Belongs to its event loop."""

    def __init__(self) -> None:
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
        """Whether questions are being answered."""
        return not self._quiet.is_set()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While a piece of an answer is worked out."""
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
        """Ingest, about to take in a few events: while questions are answered more are awaited.

        Many events at once cost a fraction of what they cost one by one, so this leaves the
        cores to the questions and still takes in whatever comes.
        """
        try:
            async with asyncio.timeout(_GATHER_S):
                await self._quiet.wait()
        except TimeoutError:
            return

    def events_came(self, *, load: bool) -> None:
        """Ingest has work; `load` says that it catches up with a log of waiting events."""
        now = time.monotonic()
        if load:
            if self._loaded + _COMING_S < now:
                self._loaded_since = now
            self._loaded = now
        self._came = now

    def leaves_room(self, seconds: float) -> bool:
        """Whether what can wait need not: nothing is asked and ingest keeps up, or that has not
        been so for longer than `seconds`."""
        now = time.monotonic()
        if self._quiet.is_set() and self._loaded + _COMING_S <= now:
            self._busy_since = float("inf")
            return True
        self._busy_since = min(now, self._busy_since)
        return self._busy_since + seconds <= now

    def keeping_up(self, seconds: float) -> bool:
        """Whether ingest does not catch up now, or has done so for longer than `seconds`."""
        now = time.monotonic()
        return self._loaded + _COMING_S <= now or self._loaded_since + seconds <= now

    @asynccontextmanager
    async def lifecycle(self) -> AsyncIterator[bool]:
        """A piece of an expiry or a restore: while events come, one shard's at a time.

        Gives False where it is another's turn still: ask again, there may be deltas to flush.
        """
        if self._came + _COMING_S < time.monotonic():
            yield True
            return
        try:
            async with asyncio.timeout(_TURN_S):
                await self._lifecycle.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._lifecycle.release()

"""Whether this worker still owns what it holds, or another may own it by now.

Shards ask before and after they pin an answer. Two things count. The group has to have
acknowledged the worker lately. And whenever something has happened since which a shard may
have another owner, the shard has to prove that it has none before it answers again
(`Store.prove`): once for each such event, not for each question.
"""

import asyncio
from collections.abc import Callable

from agents.shard.protocol import NotHeld
from streams.clock import steady_s
from streams.group.membership import SESSION_S

__all__ = ["Ownership"]

#: Nobody has looked for so long although somebody always does: the process stood still.
STILL_S = 2.0
LOOK_S = 0.5


class Ownership:
    """One for all shards of a worker.

    `silent_s` says for how many seconds the group has not acknowledged this worker, `lapses`
    how often that has been too long; `now` gives seconds that pass while the process stands
    still, too. Belongs to one event loop.
    """

    def __init__(self, now: Callable[[], float] = steady_s) -> None:
        self.silent_s: Callable[[], float] = lambda: 0.0
        self.lapses: Callable[[], int] = lambda: 0
        self._now = now
        self._looked = now()
        self._lapses = 0
        self._doubts = 0
        self._doubted = asyncio.Event()

    @property
    def in_touch(self) -> bool:
        """Whether the group has heard of this worker lately: if not, what it holds may be
        another's by now, who knows more."""
        return self.silent_s() < SESSION_S

    def check(self) -> None:
        """Raises NotHeld where it is not in touch."""
        if not self.in_touch:
            raise NotHeld(
                "the group has not acknowledged this worker lately: another may have its shards"
            )

    def doubt(self) -> None:
        """Something has happened since which shards held here may have another owner."""
        self._doubts += 1
        self._doubted.set()

    def doubts(self) -> int:
        """How often that has been so: a number to compare with one from before.

        Notices, too, that the group was silent or that the process stood still since it was
        asked last: until then nobody can have been told otherwise.
        """
        now, lapses = self._now(), self.lapses()
        if now - self._looked > STILL_S or lapses != self._lapses:
            self.doubt()
        self._looked, self._lapses = now, lapses
        return self._doubts

    async def watch(self) -> None:
        """Look again and again until cancelled, so that a long time without a look says that
        the process stood still."""
        while True:
            self.doubts()
            await asyncio.sleep(LOOK_S)

    async def doubted(self, since: int) -> int:
        """Wait until `doubts()` differs from `since`; returns it."""
        while (doubts := self.doubts()) == since:
            self._doubted.clear()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._doubted.wait()
            except TimeoutError:
                continue
        return doubts

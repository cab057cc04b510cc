"""Whether this worker still owns its shards, or another worker may own them by now.

Shards check this before and after they pin an answer. There are two conditions. The group must have
acknowledged the worker recently. And after every event that may have given a shard another owner,
the shard must prove that it has none before it answers again (`Store.prove`): once for each such
event, not for each query.

Whoever takes over waits for the first condition too. To take over is to fence the owner of now,
which may be another worker: one that starts again after an error would stop it.
"""

import asyncio
import logging
from collections.abc import Callable

from agents.shard.protocol import NotHeld
from streams.clock import steady_s
from streams.group.membership import SESSION_S

__all__ = ["Ownership"]

log = logging.getLogger(__name__)

#: After this time without a check the process was suspended, because checks are regular.
STILL_S = 2.0
LOOK_S = 0.5
#: How often who waits to take over looks whether the group has acknowledged this worker.
TOUCH_S = 0.1


class Ownership:
    """One object for all shards of a worker.

    `silent_s` returns the seconds since the group last acknowledged this worker, `lapses` how often
    that has been too long; `now` returns seconds that also count while the process is suspended.
    Use it in one event loop only.
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
        """Whether the group has acknowledged this worker recently. If not, another worker with
        newer data may own its shards by now.
        """
        return self.silent_s() < SESSION_S

    def check(self) -> None:
        """Raises NotHeld if the group has not acknowledged this worker recently."""
        if not self.in_touch:
            raise NotHeld(
                "the group has not acknowledged this worker recently: another may own its shards"
            )

    async def acknowledged(self, who: str) -> None:
        """Wait until the group has acknowledged this worker recently; call it directly before a
        takeover. `who` takes over, for the log. Without a time limit: the caller may cancel it.
        """
        if self.in_touch:
            return
        log.warning("%s waits for the group: another worker may run it", who)
        while not self.in_touch:  # noqa: ASYNC110  # the group is heard in another thread
            await asyncio.sleep(TOUCH_S)

    def doubt(self) -> None:
        """Note an event after which shards held here may have another owner."""
        self._doubts += 1
        self._doubted.set()

    def doubts(self) -> int:
        """The number of such events so far, to compare with an earlier number.

        The call also detects that the group was silent, or that the process was suspended, since
        the previous call.
        """
        now, lapses = self._now(), self.lapses()
        if now - self._looked > STILL_S or lapses != self._lapses:
            self.doubt()
        self._looked, self._lapses = now, lapses
        return self._doubts

    async def watch(self) -> None:
        """Check repeatedly until cancelled, so that a long time between two checks shows that the
        process was suspended.
        """
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

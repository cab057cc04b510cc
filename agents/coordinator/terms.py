"""The terms of an actor that only one process may be: taken over, ended by an error, begun again.

Whoever takes over writes an owner record to the actor's own topic, and fences the former owner by
the transactional id. A fenced actor cannot know whether a newer owner did that, or the broker,
which ended a transaction that took too long: only the owner record can tell.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from schemas.errors import Recoverable
from streams.kafka.log import Fenced, LostRange
from streams.metrics import names
from streams.metrics.meters import Meters

__all__ = ["Terms"]

_RETRY_S = 1.0
_FENCED_GRACE_S = 3.0
"""A newer owner writes its record within this time."""

log = logging.getLogger(__name__)


class Terms:
    """`last_owner` reads who has taken over last. `begins_again`: whether a lost range may just be
    read from where the log begins.
    """

    def __init__(
        self,
        name: str,
        last_owner: Callable[[], Awaitable[str | None]],
        begins_again: Callable[[LostRange], bool],
        meters: Meters,
    ) -> None:
        self._name = name
        self._last_owner = last_owner
        self._begins_again = begins_again
        self._meters = meters
        meters.count(names.RESTARTS, name, by=0)
        self.owner: str | None = None
        """Who this process is, once it has taken over."""

    async def run(self, term: Callable[[], Awaitable[None]]) -> None:
        """Run one term after the other until cancelled.

        Raises Fenced after another process has taken over, and Fatal if a person has to act.
        """
        while True:
            try:
                await term()
            except (Recoverable, LostRange, OSError) as error:
                if isinstance(error, LostRange) and not self._begins_again(error):
                    raise
                await self._pause(error)
            await self._still_owner()

    async def _still_owner(self) -> None:
        """Raise Fenced if another process has taken over since: otherwise both would fence each
        other again and again.
        """
        while self.owner is not None:
            try:
                last = await self._last_owner()
            except (Recoverable, OSError) as error:
                await self._pause(error)
                continue
            if last != self.owner:
                raise Fenced(f"{last} has taken over from {self.owner}")
            return

    async def _pause(self, error: Exception) -> None:
        self._meters.count(names.RESTARTS, self._name)
        log.warning("%s: %s; it starts again", self._name, str(error) or type(error).__name__)
        await asyncio.sleep(_FENCED_GRACE_S if isinstance(error, Fenced) else _RETRY_S)

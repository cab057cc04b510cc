"""Deleting what has been taken in of a log that is kept until then.

Such a log has no retention: what time alone deletes could be lost unread. Its one reader moves
the log's beginning up to where a committed cursor of its own stands.
"""

import asyncio
import logging
from collections.abc import Callable

from schemas.errors import Recoverable
from streams.kafka.log import Log, Partition

__all__ = ["Purge"]

log = logging.getLogger(__name__)

EVERY_S = 600.0


class Purge:
    """Keeps one partition short. `run` until cancelled.

    `committed` gives the offset below which everything has been taken in, durably, or None
    before that is known. Asked every `every_s` seconds.
    """

    def __init__(
        self,
        kafka: Log,
        partition: Partition,
        committed: Callable[[], int | None],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._kafka = kafka
        self._partition = partition
        self._committed = committed
        self._every_s = every_s
        self._done = 0
        self._id: str | None = None

    async def run(self) -> None:
        """Raises nothing: where the broker refuses, the log keeps what is no longer needed, and
        a warning says so."""
        while True:
            try:
                if self._id is None:
                    self._id = await self._present_id()
                else:
                    await self.once()
            except Recoverable as error:
                topic, partition = self._partition
                log.warning(
                    "%s[%d] keeps records that have been taken in: %s", topic, partition, error
                )
            await asyncio.sleep(self._every_s)

    async def once(self) -> bool:
        """Delete what can be deleted; False where that is nothing new.

        Raises Recoverable where the log does not, and where the topic has been made anew since
        `run` began: then the offset is one of the former topic, and what lies below it in this one
        has not been read.
        """
        offset = self._committed()
        if offset is None or offset <= self._done:
            return False
        if self._id is not None and await self._present_id() != self._id:
            raise Recoverable(
                "the topic was deleted and made anew, and nothing of it is deleted",
                remedy="Stop the workers and run `emberline topics skip`",
            )
        await self._kafka.admin.delete_below(self._partition, offset)
        self._done = offset
        return True

    async def _present_id(self) -> str | None:
        topic, _ = self._partition
        return (await self._kafka.admin.topic_ids([topic])).get(topic)

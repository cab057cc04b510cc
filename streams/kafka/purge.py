"""Deletes the processed records of a log without retention.

Such a log has no retention, because retention could delete a record before it is read. Its only
reader moves the log's beginning up to the reader's own committed cursor.
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

    `committed` returns the offset below which every record has been processed durably, or None
    before it is known. It is called every `every_s` seconds.
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
        self._id_known = False

    async def run(self) -> None:
        """Raises nothing: if the broker refuses, the log keeps the processed records, and a warning
        says so.
        """
        while True:
            try:
                if not self._id_known:
                    # none where the brokers have no ids
                    self._id, self._id_known = await self._present_id(), True
                else:
                    await self.once()
            except Recoverable as error:
                topic, partition = self._partition
                log.warning(
                    "%s[%d] keeps records that have been processed: %s", topic, partition, error
                )
            await asyncio.sleep(self._every_s)

    async def once(self) -> bool:
        """Delete the processed records; False if there is nothing new to delete.

        Raises Recoverable if the log refuses, and if the topic was created again since `run` began:
        then the offset belongs to the former topic, and the records below it in the new topic have
        not been read.
        """
        offset = self._committed()
        if offset is None or offset <= self._done:
            return False
        if self._id_known and await self._present_id() != self._id:
            raise Recoverable(
                "the topic was deleted and created again: none of its records is deleted",
                remedy="Stop the workers and run `emberline topics skip`",
            )
        await self._kafka.admin.delete_below(self._partition, offset)
        self._done = offset
        return True

    async def _present_id(self) -> str | None:
        topic, _ = self._partition
        return (await self._kafka.admin.topic_ids([topic])).get(topic)

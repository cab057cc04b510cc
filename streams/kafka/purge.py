"""Deleting what has been taken in of a log that is kept until then.

Such a log has no retention: what time alone deletes could be lost unread. Its one reader moves
the log's beginning up to where a committed cursor of its own stands.
"""

import asyncio
import logging
from collections.abc import Callable

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from streams.kafka import bootstrap
from streams.kafka.log import Partition
from streams.settings import Settings

__all__ = ["Purge"]

log = logging.getLogger(__name__)

EVERY_S = 600.0
_DEADLINE_S = 30.0


class Purge:
    """Keeps one partition short. `run` until cancelled.

    `committed` gives the offset below which everything has been taken in, durably, or None
    before that is known. Asked every `every_s` seconds.
    """

    def __init__(
        self,
        settings: Settings,
        partition: Partition,
        committed: Callable[[], int | None],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._settings = settings
        self._partition = partition
        self._committed = committed
        self._every_s = every_s
        self._done = 0

    async def run(self) -> None:
        """Raises nothing: where the broker refuses, the log keeps what is no longer needed, and
        a warning says so."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.once()
            except (KafkaError, OSError, TimeoutError) as error:
                topic, partition = self._partition
                log.warning(
                    "%s[%d] keeps records that have been taken in: %s. Give this client the "
                    "right to delete records of the topic",
                    *(topic, partition, type(error).__name__),
                )

    async def once(self) -> bool:
        """Delete what can be deleted; False where that is nothing new.

        Raises KafkaError, OSError, TimeoutError.
        """
        offset = self._committed()
        if offset is None or offset <= self._done:
            return False
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self._settings.bootstrap_servers,
            client_id=f"{self._settings.client_id}-purge",
        )
        bootstrap.adopt(admin._client, bootstrap.READ_S)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await admin.start()
                place = TopicPartition(*self._partition)
                await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
        finally:
            await admin.close()
        self._done = offset
        return True

"""Appends single records to a log, without a transaction, each acknowledged."""

import asyncio
import logging

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import Recoverable
from streams.ending import to_the_end, within
from streams.kafka import clients
from streams.kafka.log import Record
from streams.kafka.refusal import unreachable
from streams.settings import Settings

__all__ = ["Appender"]

log = logging.getLogger(__name__)

APPEND_S = 10.0
CLOSE_S = 2.0
_MOST_BYTES = 990_000


class Appender:
    """See `log.LogAppender`. Connects at the first record, and again after an error."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def append(self, record: Record) -> int:
        """Append one record and return its offset once all in-sync replicas have it.

        Raises Recoverable if this is not known within 10 s: the record may have been appended.
        """
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(APPEND_S):
                producer = await self._started()
                sent = await producer.send(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    partition=record.partition,
                    headers=list(record.headers),
                    timestamp_ms=record.timestamp_ms,
                )
                return int((await asyncio.shield(sent)).offset)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._drop(producer)
            otherwise = Recoverable(
                f"{record.topic}: a record is not acknowledged ({type(error).__name__} {error})",
                remedy=f"Look at the broker at {self._settings.bootstrap_servers}; then send it "
                "again",
            )
            raise unreachable(error, otherwise, f"topic {record.topic}") from error

    async def close(self) -> None:
        """Disconnect. Records in flight may or may not arrive."""
        await self._drop(self._producer)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = clients.producer(
                    self._settings,
                    f"{self._settings.client_id}-{self._name}",
                    max_batch_size=_MOST_BYTES,
                    max_request_size=_MOST_BYTES,
                    request_timeout_ms=int(APPEND_S * 1000),
                    enable_idempotence=True,
                    acks="all",
                )
                try:
                    await producer.start()
                except BaseException:  # a cancelled start has connections open too
                    await to_the_end(_stopped(producer))
                    raise
                self._producer = producer
            return self._producer

    async def _drop(self, producer: AIOKafkaProducer | None) -> None:
        if producer is None:
            return
        if producer is self._producer:
            self._producer = None
        await to_the_end(_stopped(producer))


async def _stopped(producer: AIOKafkaProducer) -> None:
    sender = producer._sender
    if sender.sender_task is not None:
        sender.sender_task.cancel()  # else it would wait for what cannot be delivered
    for let_go in (producer.stop, producer.client.close):
        try:
            await within(CLOSE_S, let_go())
        except KafkaError as error:
            log.debug("while an appender closed: %r", error)

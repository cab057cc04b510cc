"""The appender of the simulated log: an idempotent producer."""

import asyncio

from aiokafka import errors as kafka_errors

from schemas.errors import Recoverable
from streams.clock import Clock
from streams.kafka.log import Partition, Record
from tests.sim.log.batches import Entry, Written
from tests.sim.log.cluster import Cluster
from tests.sim.log.network import Request
from tests.sim.log.writer import REQUEST_S, RETRY_S

__all__ = ["SimAppender"]

APPEND_S = 10.0


class SimAppender:
    """See `log.LogAppender`."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._producer: int | None = None
        self._sequences: dict[Partition, int] = {}
        self._sending = asyncio.Lock()

    async def append(self, record: Record) -> int:
        """One at a time: a batch for each record."""
        partition = record.topic, record.partition
        try:
            async with asyncio.timeout(APPEND_S), self._sending:
                return await self._append(partition, record)
        except (kafka_errors.KafkaError, TimeoutError) as error:
            self._producer = None
            raise Recoverable(
                f"{record.topic}: a record is not acknowledged ({type(error).__name__} {error})",
                remedy="Look at the broker; then send it again",
            ) from error

    async def close(self) -> None:
        """Connects anew at the next record."""
        self._producer = None

    async def _append(self, partition: Partition, record: Record) -> int:
        brokers, network = self._cluster, self._cluster.network
        if self._producer is None:
            self._producer = await network.ask(
                Request.METADATA, brokers.transactions.new_producer, REQUEST_S
            )
            self._sequences.clear()
        stamp = self._clock.now_ms() if record.timestamp_ms is None else record.timestamp_ms
        entries = [Entry(record.key, record.value, stamp, record.headers)]
        by = Written(self._producer, 0, self._sequences.get(partition, 0))
        self._sequences[partition] = by.sequence + 1
        while True:
            try:
                base, _ = await network.ask(
                    Request.PRODUCE,
                    lambda: brokers.produce(partition, entries, by),
                    REQUEST_S,
                    brokers.leader(partition),
                )
                return base
            except kafka_errors.KafkaError as error:
                if not error.retriable or isinstance(error, kafka_errors.KafkaConnectionError):
                    raise
                await asyncio.sleep(RETRY_S)

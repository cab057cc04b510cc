"""Publishes many events fast: whole record batches for each partition, every send awaited.

The partitioner is ours, not the client's, so that a batch can be built for one partition and sent
unchanged: about 3 us of Python for an event instead of about 60 us.
"""

import asyncio
import time
import zlib
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import compress, count
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import EmberlineError, Fatal, Recoverable
from streams.kafka import clients
from streams.kafka.log import Record
from streams.kafka.refusal import denied, unreachable
from streams.settings import Settings

__all__ = [
    "Chunk",
    "Partitioner",
    "Publishable",
    "Published",
    "Publisher",
    "partitions_of",
    "publish",
]

Partitioner: TypeAlias = Literal["murmur2", "crc32"]

BATCH_BYTES = 900_000
"""Below the broker's limit for a record batch, before compression."""
LARGEST_BYTES = 1_000_000
"""The contract's bound of a message and of a record batch."""
METADATA_S = 5.0
"""How long a topic may take to appear to a client that has just connected."""
IN_FLIGHT_BYTES = 32_000_000
TRANSACTION_MS = 120_000
SLICE_SECONDS = 0.02
"""How often a publisher with a rate limit sends: short beside the delays that are measured."""


class Publishable(Protocol):
    """Records for one topic."""

    @property
    def topic(self) -> str:
        """Name of the topic without the prefix, such as `interactions.send`."""
        ...

    @property
    def keys(self) -> Sequence[bytes | None]:
        """One key for each record; null keys are spread over the partitions in turn."""
        ...

    @property
    def values(self) -> Sequence[bytes | None]:
        """One value for each record, as many as `keys`."""
        ...

    @property
    def partitioner(self) -> Partitioner:
        """Which hash of the key chooses the partition."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """The plain `Publishable`."""

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    partitioner: Partitioner = "murmur2"


@dataclass(frozen=True, slots=True)
class Published:
    """How much was published, and in how many seconds."""

    events: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Events a second."""
        return self.events / self.seconds if self.seconds else 0.0


def partitions_of(
    keys: Sequence[bytes | None], partitions: int, partitioner: Partitioner
) -> list[int]:
    """The partition of every key: by murmur2 as in Java clients, or crc32, librdkafka's default."""
    turn = count()
    if partitioner == "crc32":
        return [(next(turn) if k is None else zlib.crc32(k)) % partitions for k in keys]
    if partitions == 1:
        return [0] * len(keys)
    # here, so that a command for a topic of one partition does not load Polars
    import polars as pl

    from schemas.tables.placement import partition_of

    texts = pl.Series([b"" if k is None else k for k in keys], dtype=pl.Binary).cast(pl.String)
    found: list[int] = partition_of(texts, partitions).to_list()
    if None in keys:
        return [
            next(turn) % partitions if k is None else p for k, p in zip(keys, found, strict=True)
        ]
    return found


class Publisher:
    """Sends chunks to the topics of one prefix. An asynchronous context manager.

    `publish` returns when its records are queued and at most IN_FLIGHT_BYTES are unacknowledged;
    `flush` and a clean exit return when the brokers have acknowledged all of them. Not safe for use
    by several tasks at once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        compression: str = "lz4",
        transactional_id: str | None = None,
        transaction_ms: int = TRANSACTION_MS,
    ) -> None:
        self.published = 0
        self._settings = settings
        self._in_flight: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._bytes = 0
        self._producer = clients.producer(
            settings,
            settings.client_id,
            compression_type=compression,
            max_batch_size=BATCH_BYTES,
            max_request_size=4 * BATCH_BYTES,
            enable_idempotence=True,
            transactional_id=transactional_id,
            transaction_timeout_ms=transaction_ms,
        )

    async def __aenter__(self) -> Self:
        """Connect. Raises Recoverable if no broker answers."""
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            otherwise = Recoverable(
                f"No Kafka broker answers at {self._settings.bootstrap_servers}: {error}",
                remedy="Start one (`emberline broker`) or set KAFKA_BOOTSTRAP_SERVERS",
            )
            raise unreachable(error, otherwise) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Flush, unless there is an error already, and disconnect."""
        try:
            if error is None:
                await self.flush()
        finally:
            await self.close()

    async def close(self) -> None:
        """Disconnect, whatever becomes of what is not acknowledged."""
        try:
            for future, _size in self._in_flight:
                # of several that fail for one reason the first is the one that is told
                if not future.cancel() and not future.cancelled():
                    future.exception()
            self._in_flight.clear()
        finally:
            await self._producer.stop()

    async def publish(self, chunk: Publishable) -> None:
        """Queue the records of a chunk. Raises Recoverable if an earlier send failed."""
        topic = self._settings.prefix + chunk.topic
        partitions = await self._partitions(topic)
        for partition, rows in _by_partition(
            partitions_of(chunk.keys, partitions, chunk.partitioner)
        ):
            keys, values = compress(chunk.keys, rows), compress(chunk.values, rows)
            await self._send(topic, partition, zip(keys, values, strict=True))
        self.published += len(chunk.keys)

    async def publish_record(self, topic: str, record: Record) -> None:
        """Queue one record with headers for a topic without prefix; the key chooses its partition.

        Raises Recoverable if it cannot be queued.
        """
        try:
            future = await self._producer.send(
                self._settings.prefix + topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
            )
        except KafkaError as error:
            raise _failed(topic, error) from error
        size = len(record.key or b"") + len(record.value or b"")
        self._in_flight.append((future, size))
        self._bytes += size
        self.published += 1
        await self._settle(IN_FLIGHT_BYTES)

    @property
    def doubtful(self) -> bool:
        """Whether a commit was asked for twice: the second request, held up on its way, could end
        a later transaction in its middle. Begin none with this publisher.
        """
        return bool(self._producer.client.ends_unanswered)

    async def send_offsets(self, offsets: Mapping[TopicPartition, int], group: str) -> None:
        """Make the next offsets of a consumer group part of the transaction."""
        await self._producer.send_offsets_to_transaction(dict(offsets), group)

    async def partition_count(self, topic: str) -> int:
        """The partitions of a topic, by its whole name. Raises Fatal if it does not exist."""
        return await self._partitions(topic)

    async def flush(self) -> None:
        """Wait until the brokers have acknowledged everything. Raises Recoverable if not."""
        await self._settle(0)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All that is published inside the block becomes readable at once, when the block ends.

        For a publisher with a transactional id, inside TRANSACTION_MS. After an error nothing of it
        becomes readable.
        """
        try:
            async with self._producer.transaction():
                yield
                await self.flush()
        except KafkaError as error:
            raise _failed("a transaction", error) from error

    async def _send(
        self, topic: str, partition: int, records: Iterable[tuple[bytes | None, bytes | None]]
    ) -> None:
        batch = self._producer.create_batch()
        append = batch.append
        for key, value in records:
            if append(timestamp=None, key=key, value=value) is None:
                await self._hand_over(batch, topic, partition)
                batch = self._producer.create_batch()
                append = batch.append
                append(timestamp=None, key=key, value=value)  # a batch takes one of any size
        if batch.record_count():
            await self._hand_over(batch, topic, partition)

    async def _hand_over(self, batch: Any, topic: str, partition: int) -> None:
        size = batch.size()
        if size > LARGEST_BYTES:
            raise Fatal(
                f"A record for {topic} has {size} bytes",
                remedy=f"No message may be larger than {LARGEST_BYTES} bytes",
            )
        try:
            future = await self._producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            raise _failed(topic, error) from error
        self._in_flight.append((future, size))
        self._bytes += size
        await self._settle(IN_FLIGHT_BYTES)

    async def _settle(self, most: int) -> None:
        """Wait, oldest first, until at most this many bytes are unacknowledged."""
        while self._in_flight and (self._bytes > most or self._in_flight[0][0].done()):
            future, size = self._in_flight.popleft()
            self._bytes -= size
            try:
                await future
            except KafkaError as error:
                raise _failed("a topic", error) from error

    async def _partitions(self, topic: str) -> int:
        try:
            async with asyncio.timeout(METADATA_S):
                return len(await self._producer.partitions_for(topic))
        except (KafkaError, TimeoutError) as error:
            if lacking := denied(error, f"topic {topic}"):
                raise lacking from error
            raise Fatal(
                f"There is no topic {topic} at {self._settings.bootstrap_servers}",
                remedy="Make the topics with `emberline topics create`, or correct the prefix",
            ) from error


def _failed(topic: str, error: KafkaError) -> EmberlineError:
    otherwise = Recoverable(
        f"Publishing to {topic} failed: {type(error).__name__} {error}",
        remedy="Look at the broker; what was not acknowledged has to be sent again",
    )
    return unreachable(error, otherwise)


def _by_partition(numbers: list[int]) -> Iterator[tuple[int, list[bool]]]:
    """(partition, one flag for each row) for every partition that has rows."""
    for partition in sorted(set(numbers)):
        yield partition, [p == partition for p in numbers]


async def publish(
    settings: Settings,
    chunks: Iterable[Publishable] | AsyncIterable[Publishable],
    *,
    rate: float | None = None,
    progress: Callable[[int], None] | None = None,
    compression: str = "lz4",
) -> Published:
    """Publish all chunks and wait for their acknowledgements.

    `rate` offers this many events a second, in slices of 20 ms, and does not wait longer than this
    rate requires when the brokers are slow; None means as fast as the brokers accept them.
    `progress` is called with the number of events queued so far. Raises Recoverable if a send
    fails, Fatal if a topic is missing.
    """
    async with Publisher(settings, compression=compression) as publisher:
        start = time.monotonic()
        async for chunk in _each(chunks):
            for part in _sliced(chunk, rate):
                await publisher.publish(part)
                if progress is not None:
                    progress(publisher.published)
                ahead = publisher.published / rate - (time.monotonic() - start) if rate else 0.0
                await asyncio.sleep(max(0.0, ahead))
        await publisher.flush()
        return Published(publisher.published, time.monotonic() - start)


async def _each(
    chunks: Iterable[Publishable] | AsyncIterable[Publishable],
) -> AsyncIterator[Publishable]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
        return
    for chunk in chunks:
        yield chunk


def _sliced(chunk: Publishable, rate: float | None) -> Iterator[Publishable]:
    size = len(chunk.keys) if rate is None else max(1, int(rate * SLICE_SECONDS))
    for start in range(0, len(chunk.keys), max(size, 1)):
        part = slice(start, start + size)
        yield Chunk(chunk.topic, chunk.keys[part], chunk.values[part], chunk.partitioner)

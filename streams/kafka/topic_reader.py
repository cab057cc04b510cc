"""Reads whole topics, or only new records, as a read_committed consumer sees them."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aiokafka.errors import KafkaError

from schemas.decode.batch import KafkaRecord, RecordBatch
from schemas.errors import Recoverable
from schemas.records import codec
from streams.kafka import foreign_records
from streams.kafka.foreign_records import pass_over
from streams.kafka.log import Log, LogReader, Partition, ReaderOptions
from streams.kafka.refusal import unreachable
from streams.kafka.stored_format import check

__all__ = [
    "Located",
    "TopicReader",
    "read_all",
    "read_each",
    "read_stored",
    "read_table",
    "records_of",
]

WAIT_MS = 250

Located = tuple[str, int, KafkaRecord]
"""(topic, partition, record)"""


class TopicReader:
    """Reads all partitions of some topics without a group, committed records only.

    `async with TopicReader.open(kafka, topics)`: from the logs' beginnings, or, with
    `from_end`, only what is committed after the opening.
    """

    def __init__(self, reader: LogReader, ends: dict[Partition, int]) -> None:
        self._reader = reader
        self._ends = ends

    @classmethod
    @asynccontextmanager
    async def open(
        cls, kafka: Log, topics: Iterable[str], *, from_end: bool = False
    ) -> AsyncIterator[Self]:
        """Connect and position. Raises Recoverable without a broker, Fatal without a topic."""
        spans = await kafka.admin.bounds(await kafka.admin.partitions(tuple(topics)))
        ends = {partition: end for partition, (_, end) in spans.items()}
        starts = {partition: start for partition, (start, _) in spans.items()}
        reader = kafka.reader(ends if from_end else starts, ReaderOptions(name="reader"))
        try:
            await reader.start()
            yield cls(reader, ends)
        except KafkaError as error:
            otherwise = Recoverable(
                f"The broker at {kafka.address} does not answer: {type(error).__name__}",
                remedy="Start one (`emberline broker`) or set KAFKA_BOOTSTRAP_SERVERS",
            )
            raise unreachable(error, otherwise) from error
        finally:
            await reader.close()

    async def some(self, wait_ms: int = WAIT_MS) -> list[Located]:
        """The next records, in order within each partition; empty after `wait_ms`."""
        return [located for batch in await self._reader.fetch(wait_ms) for located in _of(batch)]

    async def rest(self) -> list[Located]:
        """All records that were committed when the reader was opened and are not read yet.

        May take any time as long as records come. Raises Recoverable if none comes.
        """
        return [located async for located in self.each()]

    async def each(self) -> AsyncIterator[Located]:
        """The same records, one by one: a fetch is in memory, and not the topic."""
        while any(self._reader.position(p) < end for p, end in self._ends.items()):
            for batch in await self._reader.progress():
                for located in _of(batch):
                    yield located


async def read_all(kafka: Log, topic: str) -> list[Located]:
    """All committed records of a topic as it stands now."""
    async with TopicReader.open(kafka, [topic]) as reader:
        return await reader.rest()


async def read_each(kafka: Log, topic: str) -> AsyncGenerator[Located, None]:
    """The same records, one by one, for topics that may be larger than the memory."""
    async with TopicReader.open(kafka, [topic]) as reader:
        async for located in reader.each():
            yield located


async def read_stored(kafka: Log, topic: str) -> AsyncGenerator[Located, None]:
    """As `read_each`, of a topic that only workers write. Raises `NewerFormat` too."""
    async for located in read_each(kafka, topic):
        check(located[0], located[1], [located[2]])
        yield located


async def read_table(kafka: Log, topic: str, name: str) -> dict[str, dict[str, Any]]:
    """The latest record of every key of a compacted topic, decoded as `name`.

    A record that cannot be read is skipped with a warning: the previous record of its key counts.
    """
    table: dict[str, dict[str, Any]] = {}
    async for _, partition, record in read_each(kafka, topic):
        key = (record.key or b"").decode(errors="replace")
        if record.value is None:
            table.pop(key, None)
            continue
        try:
            table[key] = codec.decode(record.value, name)
        except codec.Undecodable as error:
            pass_over(topic, partition, record.offset, str(error))
    return table


def records_of(located: Iterable[Located], name: str) -> Iterator[dict[str, Any]]:
    """The records decoded as `name`; foreign records among them are skipped and reported."""
    for topic, partition, record in located:
        try:
            yield codec.decode(record.value or b"", name)
        except codec.Undecodable as error:
            pass_over(topic, partition, record.offset, str(error))


def _of(batch: RecordBatch) -> Iterable[Located]:
    return ((batch.topic, batch.partition, record) for record in foreign_records.records_of(batch))

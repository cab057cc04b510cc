"""One partition of a bridge: its transactions, and how far they have come.

The transactional id is that of the partition. Whoever opens the lane fences the former owner's
producer first, and reads the committed offset then. So it is the transactions that say who owns the
partition, and not the consumer group, whose members may learn late that they have lost it.
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from agents.tools.feed.arrived import Arrived, ArrivedMapper, MappedRecords
from agents.tools.publish import Publisher
from schemas.errors import Recoverable
from streams.kafka.log import Record
from streams.settings import Settings

__all__ = ["BridgeLane", "LaneLost"]

TRANSACTION_MS = 20_000


class LaneLost(Recoverable):
    """Another bridge of the group has the partition now, or has had it."""

    def __init__(self, partition: TopicPartition) -> None:
        super().__init__(
            f"Another bridge of the group writes {partition.topic}[{partition.partition}]",
            remedy="The group gives each partition to one bridge: wait",
        )


class BridgeLane:
    """An asynchronous context manager: open while this bridge owns the partition."""

    def __init__(self, settings: Settings, group: str, partition: TopicPartition) -> None:
        self.partition = partition
        self._group = group
        self._next = 0
        name = f"{group}-bridge-{partition.topic}-{partition.partition}"
        self._publisher = Publisher(settings, transactional_id=name, transaction_ms=TRANSACTION_MS)

    async def __aenter__(self) -> Self:
        """Fences the former owner, whose transaction is then over."""
        try:
            await self._publisher.__aenter__()
            async with self._publisher.transaction():
                pass
        except BaseException:
            await self._publisher.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # a step that has ended has been acknowledged
        await self._publisher.close()

    async def find_start(self, consumer: AIOKafkaConsumer) -> None:
        """Let the consumer go on behind the last transaction, or at the topic's beginning."""
        offset = await consumer.committed(self.partition)
        if offset is None:
            await consumer.seek_to_beginning(self.partition)
        else:
            self._next = offset
            consumer.seek(self.partition, offset)

    async def step(self, mapper: ArrivedMapper, found: Sequence[ConsumerRecord]) -> MappedRecords:
        """Write what the records become, in one transaction with the offset behind them.

        Raises LaneLost, Recoverable after any other error of a broker: then the outcome is unknown,
        and the lane must be opened anew.
        """
        # the consumer may have begun before the lane was open, at an offset that was not the last
        records = [
            Arrived(one.topic, one.partition, one.offset, one.key, one.value)
            for one in found
            if one.offset >= self._next
        ]
        if not records:
            return MappedRecords()
        made = await asyncio.to_thread(mapper.map, records)
        publisher = self._publisher
        try:
            async with publisher.transaction():
                for chunk in made.chunks:
                    await publisher.publish(chunk)
                for reject in made.rejects:
                    record = Record("rejected", reject.key, reject.value, headers=reject.headers)
                    await publisher.publish_record(record.topic, record)
                # all is acknowledged before the offset: a failed send ends the transaction here
                await publisher.flush()
                following = records[-1].offset + 1
                await publisher.send_offsets({self.partition: following}, self._group)
        except (KafkaError, IllegalOperation, Recoverable) as error:
            if _fenced(error):
                raise LaneLost(self.partition) from error
            raise
        self._next = following
        made.read = len(records)
        if publisher.doubtful:
            raise Recoverable(
                "The bridge stopped: a commit was answered only when it was asked for again",
                remedy="Start it again: it goes on behind its last transaction",
            )
        return made


def _fenced(error: BaseException | None) -> bool:
    while error is not None:
        # a producer that was fenced in the background is in no transaction any more
        if isinstance(error, ProducerFenced | IllegalOperation):
            return True
        error = error.__cause__
    return False

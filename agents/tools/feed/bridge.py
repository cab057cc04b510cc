"""The bridge: reads topics of Currents events and writes their records, each exactly once.

A transaction has the records that some events become, the rejects, and the next offsets of the
bridge's consumer group. So after any end the bridge goes on where the last transaction ended. There
is one bridge for a group: it reads all partitions, and its transactional id fences an earlier one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from agents.tools.feed.arrived import Arrived, ArrivedMapper, MappedRecords
from agents.tools.import_files import TypeCount
from agents.tools.publish import Publisher
from schemas.errors import Recoverable
from streams.kafka import clients
from streams.kafka.log import Record
from streams.settings import Settings

__all__ = ["Bridged", "bridge"]

MOST_RECORDS = 10_000
"""Of one transaction."""
WAIT_MS = 200
TRANSACTION_MS = 20_000


@dataclass(slots=True)
class Bridged:
    """What a bridge has done since it started: records read, sent, and rejected; and by type."""

    read: int = 0
    sent: int = 0
    rejected: int = 0
    seconds: float = 0.0
    types: dict[str, TypeCount] = field(default_factory=dict)


async def bridge(
    settings: Settings,
    topics: Sequence[str],
    group: str,
    mapper: ArrivedMapper,
    *,
    once: bool = False,
    progress: Callable[[Bridged], None] = lambda done: None,
) -> Bridged:
    """Bridge `topics` (whole names) until it is cancelled; with `once` up to their present ends.

    `group` names the offsets; a group without offsets begins at the beginning. Raises Fatal for a
    topic that does not exist, Recoverable after any error of a broker: start again.
    """
    done, began = Bridged(), time.monotonic()
    consumer = clients.consumer(
        settings,
        f"{settings.client_id}-bridge",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    # the transactional id comes first: what an earlier bridge began is over when offsets are read
    publisher = Publisher(
        settings, transactional_id=f"{group}-bridge", transaction_ms=TRANSACTION_MS
    )
    async with publisher:
        async with publisher.transaction():
            pass
        try:
            await consumer.start()
            partitions = await _partitions(publisher, topics)
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            while not once or await _behind(consumer, ends):
                found = await consumer.getmany(timeout_ms=WAIT_MS, max_records=MOST_RECORDS)
                if found:
                    await _step(publisher, mapper, found, group, done)
                done.seconds = time.monotonic() - began
                progress(done)
        except KafkaError as error:
            raise Recoverable(
                f"The bridge stopped: {type(error).__name__} {error}",
                remedy="Start it again: it goes on behind its last transaction",
            ) from error
        finally:
            await consumer.stop()
    return done


async def _partitions(publisher: Publisher, topics: Sequence[str]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, number)
        for topic in topics
        for number in range(await publisher.partition_count(topic))
    ]


async def _behind(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return True
    return False


async def _step(
    publisher: Publisher,
    mapper: ArrivedMapper,
    found: Mapping[TopicPartition, Sequence[ConsumerRecord]],
    group: str,
    done: Bridged,
) -> None:
    """One transaction."""
    records = [
        Arrived(one.topic, one.partition, one.offset, one.key, one.value)
        for some in found.values()
        for one in some
    ]
    made = await asyncio.to_thread(mapper.map, records)
    async with publisher.transaction():
        for chunk in made.chunks:
            await publisher.publish(chunk)
        for reject in made.rejects:
            record = Record("rejected", reject.key, reject.value, headers=reject.headers)
            await publisher.publish_record(record.topic, record)
        # all is acknowledged before the offsets: a failed send ends the transaction here
        await publisher.flush()
        offsets = {partition: some[-1].offset + 1 for partition, some in found.items() if some}
        await publisher.send_offsets(offsets, group)
    _count(done, made, len(records))
    if publisher.doubtful:
        raise Recoverable(
            "The bridge stopped: a commit was answered only when it was asked for again",
            remedy="Start it again: it goes on behind its last transaction",
        )


def _count(done: Bridged, made: MappedRecords, read: int) -> None:
    done.read += read
    done.sent += sum(len(chunk.keys) for chunk in made.chunks)
    done.rejected += len(made.rejects)
    for name, count in made.counts.items():
        done.types.setdefault(name, TypeCount()).add(count)

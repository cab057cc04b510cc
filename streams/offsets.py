"""Where logs begin and end."""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as kafka_errors
from aiokafka.structs import TopicPartition

from schemas.errors import Recoverable
from streams.fetch import Partition
from streams.settings import Settings

__all__ = ["bounds"]


async def bounds(
    settings: Settings, partitions: Sequence[Partition]
) -> dict[Partition, tuple[int, int]]:
    """`(first offset, last stable offset)` of each partition, half-open.

    Raises `Recoverable` when no broker answers.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        client_id=f"{settings.client_id}-offsets",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    wanted = [TopicPartition(*partition) for partition in partitions]
    try:
        await consumer.start()
        begin = await consumer.beginning_offsets(wanted)
        end = await consumer.end_offsets(wanted)
    except kafka_errors.KafkaError as error:
        raise Recoverable(
            f"the broker at {settings.bootstrap_servers} does not answer: {type(error).__name__}"
        ) from error
    finally:
        await consumer.stop()
    return {(tp.topic, tp.partition): (begin[tp], end[tp]) for tp in wanted}

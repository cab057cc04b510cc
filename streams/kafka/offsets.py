"""Where logs begin and end."""

import asyncio
from collections.abc import Sequence

from aiokafka import errors as kafka_errors
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from schemas.errors import Recoverable
from streams.kafka import bootstrap
from streams.kafka.fetch import READ_COMMITTED
from streams.kafka.log import Partition
from streams.kafka.refusal import unreachable
from streams.settings import Settings

__all__ = ["bounds"]

_LATEST, _EARLIEST = -1, -2
_NO_REPLICA = -1
_DEADLINE_S = 40.0
_RETRY_S = 0.1


async def bounds(
    settings: Settings, partitions: Sequence[Partition]
) -> dict[Partition, tuple[int, int]]:
    """`(first offset, last stable offset)` of each partition, half-open.

    Raises `Recoverable` when no broker answers within 40 s.
    """
    # aiokafka's consumer asks before it knows its topics and then pauses; a take-over that
    # is to end within half a second asks twice.
    client = bootstrap.client(settings, "offsets")
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await client.bootstrap()
            await client.set_topics({topic for topic, _ in partitions})
            begin = await _ask(client, partitions, _EARLIEST)
            end = await _ask(client, partitions, _LATEST)
    except (kafka_errors.KafkaError, TimeoutError) as error:
        otherwise = Recoverable(
            f"the broker at {settings.bootstrap_servers} does not answer: {type(error).__name__}"
        )
        raise unreachable(error, otherwise) from error
    finally:
        await client.close()
    return {partition: (begin[partition], end[partition]) for partition in partitions}


async def _ask(
    client: bootstrap.Client, partitions: Sequence[Partition], which: int
) -> dict[Partition, int]:
    """Retries what may pass, such as a leader that is not known yet, until cancelled."""
    found: dict[Partition, int] = {}
    while True:
        try:
            left = [one for one in partitions if one not in found]
            by_leader = _by_leader(client, left)
            for answer in await asyncio.gather(
                *(_ask_one(client, node, wanted, which) for node, wanted in by_leader.items()),
                return_exceptions=True,
            ):
                if isinstance(answer, BaseException):
                    raise answer
                found |= answer
            return found
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise
        client.force_metadata_update()
        await asyncio.sleep(_RETRY_S)


async def _ask_one(
    client: bootstrap.Client, node: int, partitions: Sequence[Partition], which: int
) -> dict[Partition, int]:
    topics: dict[str, list[tuple[int, int]]] = {}
    for topic, number in partitions:
        topics.setdefault(topic, []).append((number, which))
    request = OffsetRequest(_NO_REPLICA, READ_COMMITTED, list(topics.items()))
    answer = await client.send(node, request)
    found: dict[Partition, int] = {}
    for topic, parts in answer.topics:
        for number, code, _, offset in parts:
            if code:
                raise kafka_errors.for_code(code)(f"{topic}[{number}]")
            found[topic, number] = offset
    return found


def _by_leader(
    client: bootstrap.Client, partitions: Sequence[Partition]
) -> dict[int, list[Partition]]:
    nodes: dict[int, list[Partition]] = {}
    for partition in partitions:
        leader = client.cluster.leader_for_partition(TopicPartition(*partition))
        if leader is None or leader < 0:
            raise kafka_errors.LeaderNotAvailableError(f"{partition[0]}[{partition[1]}]")
        nodes.setdefault(leader, []).append(partition)
    return nodes

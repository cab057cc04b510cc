"""Writes record batches to a broker unchanged, which no producer library does."""

import asyncio
from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

__all__ = ["produce"]

_TIMEOUT_MS = 10_000
_NO_LEADER_YET = (3, 5, 6)


async def produce(broker: str, topic: str, partition: int, batches: Sequence[bytes]) -> int:
    """Send each batch by itself; returns how many of them the broker took."""
    client = AIOKafkaClient(bootstrap_servers=broker)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        taken = 0
        for wire in batches:
            request = ProduceRequest(
                transactional_id=None,
                required_acks=-1,
                timeout=_TIMEOUT_MS,
                topics=[(topic, [(partition, wire)])],
            )
            taken += not await _sent(client, node, request)
        return taken
    finally:
        await client.close()


async def _sent(client: AIOKafkaClient, node: int, request: ProduceRequest) -> int:
    """The broker's answer; asked again while it does not know yet that it leads the topic."""
    async with asyncio.timeout(_TIMEOUT_MS / 1000):
        while True:
            response = await client.send(node, request)
            code = int(response.topics[0][1][0][1])
            if code not in _NO_LEADER_YET:
                return code
            await asyncio.sleep(0.02)

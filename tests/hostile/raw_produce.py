"""Writing record batches to a broker as they are, which no producer's library would."""

from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

__all__ = ["produce"]

_TIMEOUT_MS = 10_000


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
            response = await client.send(node, request)
            taken += not response.topics[0][1][0][1]
        return taken
    finally:
        await client.close()

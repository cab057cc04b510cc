"""Bare consumption: aiokafka returns record by record, without any processing.

Run as `python -m agents.tools.bench.peers.bare` with the arguments of `job.arguments`.
"""

import asyncio

from aiokafka import TopicPartition

from agents.tools.bench.peers.job import TOPICS, PeerArguments, arguments
from agents.tools.bench.peers.progress import Progress
from streams.kafka import clients
from streams.settings import load

__all__ = ["run"]

_WAIT_MS = 200


async def run(given: PeerArguments) -> None:
    """Consume `given.events` records with the client's default settings.

    Then it waits until it is stopped, so that its CPU and memory can still be read.
    """
    progress = Progress(given.progress)
    # security comes by the environment
    settings = load({"bootstrap_servers": given.bootstrap}, file=given.progress.with_name("none"))
    consumer = clients.consumer(
        settings,
        settings.client_id,
        clients.PATIENT_S,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        consumer.assign(
            [
                TopicPartition(f"{given.prefix}interactions.{event}", partition)
                for event in TOPICS
                for partition in range(given.partitions)
            ]
        )
        progress.begin()
        events = 0
        while events < given.events:
            for records in (await consumer.getmany(timeout_ms=_WAIT_MS)).values():
                events += len(records)
                progress.add(len(records))
        await asyncio.Event().wait()
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(run(arguments()))

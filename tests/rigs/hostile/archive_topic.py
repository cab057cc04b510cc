"""Writes the archive topic anew, with the same offsets and other records in some places."""

from collections.abc import Callable

from aiokafka import AIOKafkaProducer

from schemas.decode.batch import KafkaRecord, unpack
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.topics import make_anew

__all__ = ["Archived", "Change", "archived", "rewrite"]

Archived = dict[tuple[int, int], KafkaRecord]
"""(partition, offset) -> record"""

Change = Callable[[KafkaRecord], KafkaRecord]


async def archived(settings: Settings) -> Archived:
    """All records of the archive."""
    log, topic = KafkaLog(settings), Topics(settings.prefix).archive
    partitions = await log.admin.partitions([topic])
    bounds = await log.admin.bounds(partitions)
    found: Archived = {}
    for (_, number), (first, end) in bounds.items():
        reader = log.reader({(topic, number): first})
        await reader.start()
        try:
            while reader.position((topic, number)) < end:
                for batch in await reader.progress():
                    found.update({(number, one.offset): one for one in unpack(batch)})
        finally:
            await reader.close()
    return found


async def rewrite(settings: Settings, records: Archived) -> None:
    """Make the topic anew with these records at their offsets; between them are others. No worker
    may run meanwhile.
    """
    topic = Topics(settings.prefix).archive
    await make_anew(settings, topic)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        enable_idempotence=True,
        max_request_size=1_000_000,
    ) as producer:
        ends = {number: max(at for part, at in records if part == number) for number, _ in records}
        sent = []
        for number, end in ends.items():
            for offset in range(end + 1):
                one = records.get((number, offset))
                key, value, headers = (
                    (b"filler", b"", []) if one is None else (one.key, one.value, list(one.headers))
                )
                sent.append(
                    (offset, await producer.send(topic, value, key, number, headers=headers))
                )
        for offset, future in sent:
            assert (await future).offset == offset

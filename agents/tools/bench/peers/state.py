"""The final state of a peer, from its changelog topics, as interactions.

Both peers write one changelog record for each key, with the key as a JSON list and `[first, last]`
as the value; Quix Streams puts the message's key and `|` before it.
"""

import json

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.tools.bench.field import Field
from agents.tools.oracle import Interactions
from streams.kafka import clients

__all__ = ["state"]

_QUIET_MS = 1_000
_BATCH = 50_000


async def state(field: Field, peer: str) -> Interactions:
    """Read every changelog topic of `peer` to its end. Later records win, nulls delete."""
    prefix = field.settings.prefix
    mark = {
        "faust_table": prefix.replace(".", "-") + "faust-interactions-changelog",
        "quix": f"changelog__{prefix}quix--",
    }[peer]
    admin = clients.admin(field.settings, field.settings.client_id, clients.PATIENT_S)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(mark)]
    finally:
        await admin.close()
    consumer = clients.consumer(
        field.settings,
        field.settings.client_id,
        clients.PATIENT_S,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4_000_000,
    )
    await consumer.start()
    try:
        consumer.assign(
            [
                TopicPartition(name, partition)
                for name in names
                for partition in range(field.settings.partitions)
            ]
        )
        return await _read(consumer)
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer) -> Interactions:
    """All records up to the present ends.

    A partition whose log ends with a transaction marker is never reported as read to its end, so a
    second without a record also counts as the end: the peer's processes have ended by then.
    """
    found: Interactions = {}
    ends = await consumer.end_offsets(consumer.assignment())
    behind = {tp: end for tp, end in ends.items() if end}
    while behind:
        got = await consumer.getmany(timeout_ms=_QUIET_MS, max_records=_BATCH)
        if not got:
            break
        for tp, records in got.items():
            for record in records:
                key = tuple(json.loads(record.key[record.key.index(b"[") :]))
                if record.value is None:
                    found.pop(key, None)
                else:
                    first, last = json.loads(record.value)
                    found[key] = first, last
            if records[-1].offset + 1 >= behind.get(tp, 0):
                behind.pop(tp, None)
    return found

"""Accepts that unread records are lost: moves cursors to where logs begin.

If a cursor lies before its log's beginning, the records in between are lost. If it lies beyond the
log's end, or belongs to a topic with another id, it is a cursor of an earlier topic of that name,
and no record of the present topic has been read.

Each cursor is moved as its owner would move it, under the owner's transactional id: a worker that
still runs is fenced, and if a worker takes over meanwhile, this fails.
"""

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.coordinator import log as coordinator_log
from agents.worker.preflight import locked
from streams.kafka.environment import Environment
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Partition
from streams.kafka.offsets import bounds
from streams.kafka.step import StepProducer
from streams.kafka.topics import Topics, topic_ids
from streams.settings import Settings
from streams.state.state_store import shared_cache
from streams.state.store import Step, Store

__all__ = ["Skipped", "in_place_of_coordinator", "skip"]

_CACHE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Skipped:
    """A cursor that moved from `first` to `to`, where its log begins.

    Offsets `[first, to)` were never read and are lost. If `first` is greater, the cursor was beyond
    the end of a topic that was created again, which is now read completely.
    """

    topic: str
    partition: int
    first: int
    to: int


async def skip(settings: Settings) -> list[Skipped]:
    """Move every cursor that lies outside its log to the log's beginning; returns the moved ones.

    Raises Fatal while a worker uses this data folder, Recoverable (such as Fenced) if a worker
    elsewhere takes over or the broker does not answer: cursors moved by then stay moved.
    """
    lost: list[Skipped] = []
    with locked(settings.data_dir):
        for partition in range(settings.partitions):
            lost += await _shard(settings, partition)
        lost += await _coordinator(settings)
    return lost


async def _shard(settings: Settings, partition: int) -> list[Skipped]:
    topics = Topics(settings.prefix)
    folder = Path(settings.data_dir) / f"shard-{partition}"
    store = Store(Environment.of(settings), partition, folder, shared_cache(_CACHE_BYTES))
    try:
        await store.takeover()
        inputs = (*topics.events.values(), topics.users, topics.repartition)
        table = store.table
        ids = await topic_ids(settings, inputs)
        logs = [(name, partition) for name in inputs]
        lost = await _lost(settings, logs, table.cursor, _anew(table.cursor_ids, ids))
        if lost:
            table.cursor_ids = ids
            moved = {one.topic: one.to for one in lost}
            put = store.table.cursor_put(store.table.cursor | moved)
            await store.commit(Step(puts=[put]))
        return lost
    finally:
        await store.close()


@asynccontextmanager
async def in_place_of_coordinator(
    settings: Settings,
) -> AsyncIterator[tuple[StepProducer, coordinator_log.Found]]:
    """A producer in place of the coordinator, which it fences; and the coordinator's cursor in its
    log.
    """
    topic = Topics(settings.prefix).coordinator
    producer = StepProducer(settings, f"{settings.prefix}coordinator")
    try:
        await producer.start()
        owner = uuid.uuid4().hex
        start, _ = (await bounds(settings, [(topic, 0)]))[topic, 0]
        await producer.commit([coordinator_log.owner_record(settings, owner)])
        found = await coordinator_log.read_back(settings, KafkaLog(settings), owner, start)
        yield producer, found
    finally:
        await producer.close()


async def _coordinator(settings: Settings) -> list[Skipped]:
    topics = Topics(settings.prefix)
    async with in_place_of_coordinator(settings) as (producer, found):
        inputs = (topics.catalog, topics.control, topics.shard_reports)
        ids = await topic_ids(settings, inputs)
        logs = [(name, 0) for name in inputs]
        lost = await _lost(settings, logs, found.cursor, _anew(found.ids, ids))
        if lost:
            moved = dict(found.cursor) | {one.topic: one.to for one in lost}
            await producer.commit([coordinator_log.cursor_record(settings, moved, ids)])
        return lost


def _anew(known: Mapping[str, str], ids: Mapping[str, str]) -> set[str]:
    """The topics whose id is another one now."""
    return {name for name, former in known.items() if ids.get(name, former) != former}


async def _lost(
    settings: Settings,
    inputs: Sequence[Partition],
    cursor: Mapping[str, int],
    anew: Collection[str] = (),
) -> list[Skipped]:
    logs = await bounds(settings, inputs)
    return [
        Skipped(topic, partition, cursor[topic], begin)
        for (topic, partition), (begin, end) in sorted(logs.items())
        if topic in cursor
        and (not begin <= cursor[topic] <= end or (topic in anew and cursor[topic] > 0))
    ]

"""Accepts that unread records are lost: moves cursors to where logs begin.

If a cursor lies before its log's beginning, the records in between are lost. If it lies beyond the
log's end, or belongs to a topic with another id, it is a cursor of an earlier topic of that name,
and no record of the present topic has been read.

Each cursor is moved as its owner would move it, under the owner's transactional id: a worker that
still runs is fenced, and if a worker takes over meanwhile, this fails.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.coordinator import log as coordinator_log
from agents.worker.preflight import locked
from streams.kafka.environment import Environment
from streams.kafka.log import Log, LogWriter, Partition
from streams.kafka.topics import Topics
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


async def skip(environment: Environment) -> list[Skipped]:
    """Move every cursor that lies outside its log to the log's beginning; returns the moved ones.

    Raises Fatal while a worker uses this data folder, Recoverable (such as Fenced) if a worker
    elsewhere takes over or the broker does not answer: cursors moved by then stay moved.
    """
    lost: list[Skipped] = []
    settings = environment.settings
    with locked(settings.data_dir):
        for partition in range(settings.partitions):
            lost += await _shard(environment, partition)
        lost += await _coordinator(environment)
    return lost


async def _shard(environment: Environment, partition: int) -> list[Skipped]:
    settings = environment.settings
    topics = Topics(settings.prefix)
    folder = Path(settings.data_dir) / f"shard-{partition}"
    store = Store(environment, partition, folder, shared_cache(_CACHE_BYTES))
    try:
        await store.takeover()
        inputs = (*topics.events.values(), topics.users, topics.repartition)
        table = store.table
        ids = await environment.kafka.admin.topic_ids(inputs)
        logs = [(name, partition) for name in inputs]
        lost = await _lost(environment.kafka, logs, table.cursor, _anew(table.cursor_ids, ids))
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
    environment: Environment,
) -> AsyncIterator[tuple[LogWriter, coordinator_log.Found]]:
    """A writer in place of the coordinator, which it fences; and the coordinator's cursor in its
    log.
    """
    settings, kafka = environment.settings, environment.kafka
    topic = Topics(settings.prefix).coordinator
    producer = kafka.writer(f"{settings.prefix}coordinator")
    try:
        await producer.start()
        owner = environment.new_id()
        start, _ = (await kafka.admin.bounds([(topic, 0)]))[topic, 0]
        await producer.commit([coordinator_log.owner_record(settings, owner)])
        found = await coordinator_log.read_back(settings, kafka, owner, start)
        yield producer, found
    finally:
        await producer.close()


async def _coordinator(environment: Environment) -> list[Skipped]:
    settings = environment.settings
    topics = Topics(settings.prefix)
    async with in_place_of_coordinator(environment) as (producer, found):
        inputs = (topics.catalog, topics.control, topics.shard_reports)
        ids = await environment.kafka.admin.topic_ids(inputs)
        logs = [(name, 0) for name in inputs]
        lost = await _lost(environment.kafka, logs, found.cursor, _anew(found.ids, ids))
        if lost:
            moved = dict(found.cursor) | {one.topic: one.to for one in lost}
            await producer.commit([coordinator_log.cursor_record(settings, moved, ids)])
        return lost


def _anew(known: Mapping[str, str], ids: Mapping[str, str]) -> set[str]:
    """The topics whose id is another one now."""
    return {name for name, former in known.items() if ids.get(name, former) != former}


async def _lost(
    kafka: Log,
    inputs: Sequence[Partition],
    cursor: Mapping[str, int],
    anew: Collection[str] = (),
) -> list[Skipped]:
    logs = await kafka.admin.bounds(inputs)
    return [
        Skipped(topic, partition, cursor[topic], begin)
        for (topic, partition), (begin, end) in sorted(logs.items())
        if topic in cursor
        and (not begin <= cursor[topic] <= end or (topic in anew and cursor[topic] > 0))
    ]

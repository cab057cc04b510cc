"""The changelog: reads a shard's durable state back, up to the new owner's fence.

`end_offsets` of a read_committed consumer is the last stable offset and does not show transactions
that are still in flight. Therefore a new owner first fences the old owner, then commits a record
with a new id and reads until it sees that record. It has read everything then.
"""

import asyncio
import logging

from schemas.decode.batch import KafkaRecord, RecordBatch
from schemas.errors import Fatal
from schemas.tables.erased import ErasureKey
from streams.erasure_key import erasure_key
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import in_transaction, pass_over
from streams.kafka.log import Log, LogReader, LogWriter, ReaderOptions, Record
from streams.kafka.stored_format import STAMP, whole_stored_records_of
from streams.kafka.topic_specs import fixed_number
from streams.kafka.topics import DELETE_RETENTION_MS, Topics
from streams.settings import Settings
from streams.state import foreign_entries, keys
from streams.state.auxiliary_table import TABLES
from streams.state.hot_table import ChangelogOrigin, HotTable
from streams.state.replay import Replay
from streams.state.state_store import StateStore

__all__ = [
    "FORMAT",
    "WrongErasureKey",
    "WrongPartitions",
    "fence",
    "load",
    "recover",
    "tombstones_ms",
]

log = logging.getLogger(__name__)

#: 2: deltas are Arrow IPC streams.
FORMAT = 2
_AUXILIARY_BYTES = 32_000_000
#: A recovery that reads nothing for this time fails and starts again.


class WrongPartitions(Fatal):
    """The hot table was built with another number of partitions."""


class WrongErasureKey(Fatal):
    """Users were erased under a key that this worker does not have."""


def fence(settings: Settings, partition: int, owner: str) -> Record:
    """The record that names the owner of the shard in the changelog; every takeover has a new
    `owner` id.
    """
    topic = Topics(settings.prefix).changelog
    return Record(topic, keys.FENCE, owner.encode(), partition, STAMP)


async def recover(
    environment: Environment,
    partition: int,
    writer: LogWriter,
    state_store: StateStore,
    owner: str,
) -> tuple[HotTable, int]:
    """Brings the state store up to this owner's fence and loads the hot table from it.

    The writer must have been started, which fences the former owner. Returns the table and the
    changelog offset after the fence. Raises `WrongPartitions` if the number of partitions differs,
    `WrongErasureKey` if users were erased under another key, `StepFailed` or `Fenced` from the
    commit of the fence, `Recoverable` if no record of the changelog comes.
    """
    settings, kafka = environment.settings, environment.kafka
    topic = Topics(settings.prefix).changelog
    (fence_offset,) = await writer.commit([fence(settings, partition, owner)])
    now_ms = writer.appended_ms or environment.clock.now_ms()
    start, _ = (await kafka.admin.bounds([(topic, partition)]))[topic, partition]
    reader = kafka.reader(
        {(topic, partition): start},
        ReaderOptions(bytes_per_partition=4_000_000, prefetch=True, name=f"changelog-{partition}"),
    )
    await reader.start()
    try:
        origin, head = await _origin(reader, owner)
        _check(origin, settings.partitions, partition)
        if not state_store.position() or not _useful(state_store, origin, fence_offset):
            await asyncio.to_thread(state_store.clear)
        elif abs(now_ms - state_store.stamp_ms()) > await tombstones_ms(kafka, topic) // 2:
            log.info("shard %d was not running for long: its store is filled again", partition)
            await asyncio.to_thread(state_store.clear)
        position = max(start, state_store.position())
        if position > start:
            reader.seek((topic, partition), position)
            head = []
        last_ms = state_store.stamp_ms()
        last_ms = await _replay(reader, head, state_store, owner) or last_ms
    finally:
        await reader.close()
    key = await asyncio.to_thread(erasure_key, settings)
    table = await asyncio.to_thread(load, state_store, key=key)
    table.rested_ms = max(0, now_ms - last_ms) if last_ms else 0
    if table.origin is None:
        table.origin = ChangelogOrigin(environment.new_id(), settings.partitions, FORMAT)
        put = (keys.ORIGIN, table.origin.to_json())
        (offset,) = await writer.commit([Record(topic, put[0], put[1], partition, STAMP)])
        state_store.apply([put], offset + 1, writer.appended_ms)
    return table, state_store.position()


def load(
    state_store: StateStore, limit: int = _AUXILIARY_BYTES, key: ErasureKey | None = None
) -> HotTable:
    """The hot table built from the entries of the state store.

    `limit`: the bytes that the deltas of the auxiliary tables may take before they are folded.
    Raises `WrongErasureKey` if users were erased under another key than `key`.
    """
    table = HotTable(erasure_key=key)
    table.apply(state_store.items(b"z"))
    _check_key(table, key)
    for prefix in (b"o", b"c", b"i/", b"m/", b"v/", b"n/", b"j/"):
        table.apply(state_store.items(prefix))
    runs = [each.run + b"/" for each in TABLES]
    for prefix in (b"d/", b"h/", b"w/", *runs):
        table.apply(state_store.items(prefix))
    for each in TABLES:
        for item in state_store.items(each.delta + b"/"):
            table.apply([item])
            # what another worker with more memory left is folded before it is too much for us
            if table.auxiliary_bytes > limit:
                table.fold_auxiliary()
                limit = max(limit, 2 * table.auxiliary_bytes)
    # last: it masks what has been loaded
    table.apply(state_store.items(b"g/"))
    table.settle()
    return table


def _check_key(table: HotTable, key: ErasureKey | None) -> None:
    marks = table.erasure_marks
    if marks is not None and (key is None or key.id != marks.key):
        having = "there is no such file" if key is None else f"the file has the key {key.id}"
        raise WrongErasureKey(
            f"users were erased under the key {marks.key}, and {having} (setting erasure_key_file)",
            remedy="Put the file back from its backup: without it nobody can tell who was erased",
        )


def _check(origin: ChangelogOrigin | None, partitions: int, partition: int) -> None:
    """Raises `WrongPartitions` or `Fatal` if the changelog does not match these settings."""
    if origin is not None and origin.partitions != partitions:
        raise WrongPartitions(
            f"changelog[{partition}] was built with {origin.partitions} partitions, "
            f"and the setting partitions is {partitions}",
            remedy=fixed_number(origin.partitions),
        )
    if origin is not None and origin.format != FORMAT:
        raise Fatal(
            f"changelog[{partition}] has format {origin.format}, this version reads {FORMAT}",
            remedy="Run the version of emberline that wrote it, or a newer one",
        )


def _useful(state_store: StateStore, origin: ChangelogOrigin | None, fence: int) -> bool:
    """Whether a state store has a format that this version reads, belongs to this incarnation of
    the topic, and its offset is not beyond the log's end.
    """
    if not state_store.readable():
        return False
    mine = state_store.get(keys.ORIGIN)
    known = ChangelogOrigin.from_json(mine) if mine is not None else None
    return known is not None and known == origin and state_store.position() <= fence


async def tombstones_ms(kafka: Log, topic: str) -> int:
    """How long a compacted topic keeps tombstones, by its current settings. A store that was last
    up to date more than half of this ago may hold keys whose tombstones are gone.
    """
    found = (await kafka.admin.configs([topic])).get(topic, {}).get("delete.retention.ms", "")
    return int(found) if found.isdecimal() else DELETE_RETENTION_MS


async def _origin(
    reader: LogReader, owner: str
) -> tuple[ChangelogOrigin | None, list[KafkaRecord]]:
    """The origin record, which stands before everything but fences, or None for a new changelog;
    and all records read to find it, from the log's start.
    """
    head: list[KafkaRecord] = []
    while True:
        records = await _records(reader)
        head += records
        for record in records:
            if record.key == keys.ORIGIN and record.value is not None:
                return ChangelogOrigin.from_json(record.value), head
            if _is_fence(record, owner):
                return None, head


async def _replay(
    reader: LogReader, head: list[KafkaRecord], state_store: StateStore, owner: str
) -> int:
    """Writes `head` and all following records, up to the owner's fence, into the state store.
    Returns the time (UTC ms) of the last record before that fence, 0 if there is none.
    """
    replay = Replay(state_store)
    last_ms = 0
    try:
        records = head or await _records(reader)
        while True:
            for record in records:
                if record.key is not None:
                    replay.add(record.key, record.value)
                if _is_fence(record, owner):
                    await replay.finish(record.offset + 1, record.timestamp)
                    return last_ms
                last_ms = record.timestamp
            await replay.write(records[-1].offset + 1, records[-1].timestamp)
            records = await _records(reader)
    finally:
        await replay.close()


def _is_fence(record: KafkaRecord, owner: str) -> bool:
    return record.key == keys.FENCE and record.value == owner.encode()


async def _records(reader: LogReader) -> list[KafkaRecord]:
    """The next records of a reader of one partition; at least one. Raises Recoverable if none
    comes.
    """
    while True:
        batches = await reader.progress()
        if found := [record for batch in batches for record in _entries(batch)]:
            return found


def _entries(batch: RecordBatch) -> list[KafkaRecord]:
    """The records of a batch, without those that no shard can have written. Raises
    `NewerFormat`.
    """
    records = whole_stored_records_of(batch)
    if in_transaction(batch) is not False:
        return records
    found = []
    for record in records:
        if (why := foreign_entries.fault(record.key, record.value)) is None:
            found.append(record)
        else:
            pass_over(batch.topic, batch.partition, record.offset, why)
    return found

"""Skips one batch by hand: the last resort if a reader cannot get past it.

Readers already skip and reject everything that can be skipped without a person. The rest is a batch
whose bytes the broker has lost. The cursor of its reader is moved behind the batch, as its owner
would move it, in one transaction with an audit entry; the remaining bytes of the batch in the log
go to `rejected`.
"""

import asyncio
import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.coordinator import log as coordinator_log
from agents.coordinator.rules.outputs import audit
from agents.tools.skip import in_place_of_coordinator
from agents.worker.preflight import locked
from schemas.decode.batch import SealedBatch
from schemas.decode.reject import reject_batch
from schemas.errors import Recoverable, UsageError
from schemas.records import codec
from streams.kafka.environment import Environment
from streams.kafka.log import Log, ReaderOptions, Record
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state.state_store import shared_cache
from streams.state.store import Step, Store

__all__ = ["At", "Passed", "parse_at", "skip_batch"]

_CACHE_BYTES = 8_000_000
_READ_S = 30.0


@dataclass(frozen=True, slots=True)
class At:
    """A position in a log."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """The text form."""
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Passed:
    """A cursor that moved from `first` to `to`; `records` were in the skipped batch."""

    topic: str
    partition: int
    first: int
    to: int
    records: int


def parse_at(settings: Settings, text: str) -> At:
    """The position in TOPIC:PARTITION:OFFSET. Raises UsageError."""
    name, _, rest = text.strip().partition(":")
    partition, _, offset = rest.partition(":")
    if not name or not partition.isdecimal() or not offset.isdecimal():
        raise UsageError(f"{text!r} is no topic position", remedy="Write TOPIC:PARTITION:OFFSET")
    topics = Topics(settings.prefix)
    at = At(topics.named(name), int(partition), int(offset))
    inputs = {*_shard_inputs(topics), *_coordinator_inputs(topics)}
    if at.topic not in inputs:
        raise UsageError(
            f"A batch of {at.topic} cannot be skipped",
            remedy=f"Only of {', '.join(sorted(inputs))}; restore others from a replica",
        )
    most = 1 if at.topic in _coordinator_inputs(topics) else settings.partitions
    if at.partition >= most:
        raise UsageError(f"{at.topic} has {most} partitions", remedy="They are counted from 0")
    return at


async def skip_batch(environment: Environment, at: At, reason: str) -> Passed:
    """Move the cursor behind the batch at `at`, which must be the next one to read.

    Raises UsageError if it is not, Fatal while a worker uses this data folder, Recoverable (such as
    Fenced) if a worker elsewhere takes over or the broker does not answer.
    """
    settings = environment.settings
    with locked(settings.data_dir):
        if at.topic in _shard_inputs(Topics(settings.prefix)):
            return await _of_shard(environment, at, reason)
        return await _of_coordinator(environment, at, reason)


def _shard_inputs(topics: Topics) -> tuple[str, ...]:
    return (*topics.events.values(), topics.users, topics.repartition)


def _coordinator_inputs(topics: Topics) -> tuple[str, ...]:
    # not the catalog: it is read whole at every start
    return (topics.control, topics.shard_reports)


async def _of_shard(environment: Environment, at: At, reason: str) -> Passed:
    settings = environment.settings
    folder = Path(settings.data_dir) / f"shard-{at.partition}"
    store = Store(environment, at.partition, folder, shared_cache(_CACHE_BYTES))
    try:
        await store.takeover()
        passed, records = await _passed(environment, at, store.table.cursor, reason)
        put = store.table.cursor_put(store.table.cursor | {at.topic: passed.to})
        await store.commit(Step(puts=[put], records=records))
        return passed
    finally:
        await store.close()


async def _of_coordinator(environment: Environment, at: At, reason: str) -> Passed:
    async with in_place_of_coordinator(environment) as (producer, found):
        passed, records = await _passed(environment, at, found.cursor, reason)
        cursor = {**found.cursor, at.topic: passed.to}
        moved = coordinator_log.cursor_record(environment.settings, cursor, found.ids)
        await producer.commit([moved, *records])
        return passed


async def _passed(
    environment: Environment, at: At, cursor: Mapping[str, int], reason: str
) -> tuple[Passed, list[Record]]:
    """The skipped batch, and the record of it that is written."""
    here = (at.topic, at.partition)
    begin, end = (await environment.kafka.admin.bounds([here]))[here]
    first = cursor.get(at.topic, begin)
    if not begin <= first < end:
        raise UsageError(
            f"{at.topic}[{at.partition}]: the next offset to read is {first}, and the log has "
            f"offsets {begin} to {end - 1}",
            remedy="Use `emberline topics skip` without --at for records that are lost",
        )
    batch, following = await _next(environment.kafka, at, first)
    if not first <= at.offset < following:
        raise UsageError(
            f"{at} is not the next batch to read: that is {at.topic}:{at.partition}:{first}",
            remedy="Only that one can be skipped: the batches in between would be lost",
        )
    passed = Passed(at.topic, at.partition, first, following, 0 if batch is None else batch.count)
    topics = Topics(environment.settings.prefix)
    text = f"{at.topic}[{at.partition}]: offsets {first} to {following - 1} skipped by hand"
    now = environment.clock.now_ms()
    entry = audit(None, "skip", now, by=f"{_person()} (unverified)", reason=reason, detail=text)
    records = [Record(topics.audit, None, codec.encode(entry.schema, entry.record))]
    if batch is not None:
        rejected = reject_batch(batch.opened(0), "undecodable", "passed over by hand")
        target = at.partition if at.topic in _shard_inputs(topics) else 0
        records.append(Record(topics.rejected, None, rejected.value, target, rejected.headers))
    return passed, records


async def _next(kafka: Log, at: At, first: int) -> tuple[SealedBatch | None, int]:
    """The batch at `first`, whatever its checksum, and the offset after it; None if there are only
    transaction markers.
    """
    topic_partition = (at.topic, at.partition)
    fetcher = kafka.reader({topic_partition: first}, ReaderOptions(check_crc=False, name="skip"))
    await fetcher.start()
    try:
        async with asyncio.timeout(_READ_S):
            while fetcher.position(topic_partition) == first:
                batches = await fetcher.fetch_sealed()
                if batches:
                    return batches[0], batches[0].next_offset
        return None, fetcher.position(topic_partition)
    except TimeoutError:
        raise Recoverable(
            f"{at.topic}[{at.partition}] gave nothing at offset {first} for {_READ_S:.0f} s",
            remedy="Check whether an open transaction holds it back, and the broker",
        ) from None
    finally:
        await fetcher.close()


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"

"""The rows that the events in the topics must make, worked out by the oracle, not by the worker's
code.

An event of a user who was erased and has come back is no part of a row if it is from before the
return. One since then may make a row: that depends on what its shard had read before it.

An event that its shard has forwarded to the shard of its user, and that this one has not folded at
its moment, makes no row yet: it still lies in `repartition`. As shards are read one after another,
an event may also be folded in the shard of its user, and lie behind the moment of the shard that
has forwarded it: it may make a row.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from agents.shard.intake import limits_of
from agents.tools.oracle import Expected, refusal
from agents.verify.finding import Finding
from agents.verify.log_scan import LogScan, ScannedBatch
from agents.verify.row_spill import RowSpill
from schemas.decode.batch import KafkaRecord
from schemas.decode.forward import RecordPosition, place_of
from schemas.decode.singles import decode_records
from schemas.mapping.field_types import event_types
from schemas.mapping.topics import TopicMapping
from schemas.records import codec
from schemas.records.registry import SchemaSource
from schemas.tables.erased import NEVER, NO_MASK, Mask
from schemas.tables.interaction import COLUMNS, SCHEMA
from schemas.tables.placement import partition_of
from streams.kafka.environment import Environment
from streams.kafka.mappings import mappings_of
from streams.kafka.remote_registry import SchemaAwaited, source_for
from streams.kafka.topic_specs import Topics

__all__ = ["EXPECTED", "EventRows", "ShardMoment"]

EXPECTED = "expected"
_AT_ONCE = 200_000


@dataclass(frozen=True, slots=True)
class ShardMoment:
    """What a shard had read at its moment, and who was erased in it."""

    partition: int
    cursor: Mapping[str, int]
    mask: Mask


@dataclass
class EventRows:
    """Fills a spill with the rows of all events that were read. `complete`: no event is missing.

    `unknown` counts records whose schema is not known here; `findings` are batches that cannot be
    read.
    """

    environment: Environment
    spill: RowSpill
    passed: Callable[[int], None] = lambda _: None
    complete: bool = True
    events: int = 0
    unknown: int = 0
    findings: list[Finding] = field(default_factory=list)
    _back: Mask = NO_MASK
    _pending: set[RecordPosition] = field(default_factory=set)
    _loose: set[int] = field(default_factory=set)

    async def fill(self, moments: Sequence[ShardMoment]) -> None:
        """Read every event below the cursors. Raises `LogStuck`."""
        topics = Topics(self.environment.settings.prefix)
        for moment in moments:
            await self._forwarded(topics.repartition, moment)
        masks = {moment.partition: moment.mask for moment in moments}
        self._back = _returned(masks.values())
        for moment in moments:
            for name, topic in topics.events.items():
                if topic in moment.cursor:
                    await self._topic(name, topic, moment, masks)

    async def _forwarded(self, topic: str, moment: ShardMoment) -> None:
        """Note the events that have been forwarded to a shard, and that it has not read."""
        partition = (topic, moment.partition)
        start, end = (await self.environment.kafka.admin.bounds([partition]))[partition]
        begin = moment.cursor.get(topic, 0)
        if start > begin:
            # it has read on since, and what it has read is deleted
            self._loose.add(moment.partition)
        async with LogScan(self.environment, partition, max(start, begin)) as scan:
            async for batch in scan.until(end):
                self.findings += batch.findings()
                for record in batch.records:
                    place = place_of(record)
                    if place is None:
                        self._loose.add(moment.partition)  # of an earlier release
                    else:
                        self._pending.add(place)

    async def _topic(
        self, name: str, topic: str, moment: ShardMoment, masks: Mapping[int, Mask]
    ) -> None:
        partition = (topic, moment.partition)
        start, end = (await self.environment.kafka.admin.bounds([partition]))[partition]
        self.complete = self.complete and start == 0
        if start >= end:
            return
        chunk = _Chunk(moment.cursor[topic])
        async with LogScan(self.environment, partition, start) as scan:
            async for batch in scan.until(end):
                self.findings += batch.findings()
                self.complete = self.complete and batch.fault is None
                await asyncio.to_thread(self._take, name, batch, chunk)
                self.passed(batch.last + 1 - batch.first)
                if chunk.taken >= _AT_ONCE:
                    await asyncio.to_thread(self._write, moment.partition, chunk, masks)
                    chunk = _Chunk(moment.cursor[topic])
        await asyncio.to_thread(self._write, moment.partition, chunk, masks)

    def _take(self, name: str, batch: ScannedBatch, chunk: "_Chunk") -> None:
        settings = self.environment.settings
        topic, number = batch.partition
        for record, event in self._events(name, batch.records):
            if refusal(event, record.timestamp, settings.max_field_bytes) is None:
                self.events += 1
                if self._gone(event):
                    continue
                if record.offset >= chunk.cursor:
                    made = chunk.later
                elif RecordPosition(topic, number, record.offset) in self._pending:
                    made = chunk.pending
                else:
                    made = chunk.folded
                made.add(name, event)
                chunk.taken += 1

    def _events(
        self, name: str, records: Sequence[KafkaRecord]
    ) -> Iterator[tuple[KafkaRecord, Mapping[str, Any]]]:
        """The records that are events."""
        settings = self.environment.settings
        source = source_for(settings)
        if mappings := mappings_of(settings).get(name, ()):
            yield from self._mapped(name, records, source, mappings)
            return
        for record in records:
            if record.value is None:
                continue
            try:
                yield record, codec.decode(record.value, name, source)
            except SchemaAwaited:
                self.unknown += 1
                self.complete = False
            except codec.Undecodable:
                continue  # rejected

    def _mapped(
        self,
        name: str,
        records: Sequence[KafkaRecord],
        source: SchemaSource,
        mappings: tuple[TopicMapping, ...],
    ) -> Iterator[tuple[KafkaRecord, Mapping[str, Any]]]:
        fields, most = list(event_types(name)), limits_of(self.environment.settings)
        try:
            frame, _ = decode_records(
                records, name, fields, source, most.max_record_bytes, mappings
            )
        except SchemaAwaited:
            self.unknown += len(records)
            self.complete = False
            return
        for event in frame.to_dicts():
            yield records[event.pop("position")], event

    def _gone(self, event: Mapping[str, Any]) -> bool:
        """Whether the event is of a user who was erased, and has come back after it."""
        back = self._back.find(event["user_id"])
        return back is not None and event["time"] < back.returned_at

    def _write(self, partition: int, chunk: "_Chunk", masks: Mapping[int, Mask]) -> None:
        own = pl.col("shard") == partition
        folded = self._frame(chunk.folded)
        back = pl.col("user").is_in(list(self._back.among(folded["user"])))
        read = folded.with_columns(
            required=(own | ~pl.col("shard").is_in(sorted(self._loose))) & ~back
        )
        may_be = pl.concat([self._frame(chunk.pending), self._frame(chunk.later).filter(~own)])
        rows = pl.concat([read, may_be.with_columns(required=pl.lit(value=False))])
        for (shard,), part in rows.partition_by("shard", as_dict=True).items():
            self.spill.add(EXPECTED, masks[int(shard)].rows(part).drop("shard"))

    def _frame(self, expected: Expected) -> pl.DataFrame:
        """The rows with the shard of their user."""
        rows: Collection[tuple[object, ...]] = [
            (*key, *span) for key, span in expected.interactions.items()
        ]
        schema = dict(zip(COLUMNS, SCHEMA.values(), strict=True))
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        shards = partition_of(frame["user"], self.environment.settings.partitions)
        return frame.with_columns(shards.alias("shard"))


def _returned(masks: Collection[Mask]) -> Mask:
    """The users of all shards who were erased and have come back."""
    key = next((mask.key for mask in masks if mask.key is not None), None)
    users = (user for mask in masks for user in mask.users.values())
    return Mask(key).changed(user for user in users if user.returned_at != NEVER)


@dataclass
class _Chunk:
    """Events of one partition: read and folded, read and pending, and behind the cursor."""

    cursor: int
    folded: Expected = field(default_factory=Expected)
    pending: Expected = field(default_factory=Expected)
    later: Expected = field(default_factory=Expected)
    taken: int = 0

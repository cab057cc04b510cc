"""Makes everything that a step needs from fetched batches: interactions, forwards, rejects."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import polars as pl

from schemas.decode.batch import KafkaRecord, RecordBatch, chunks, unpack
from schemas.decode.batch_records import CorruptRecords, unpack_proven
from schemas.decode.blocks import Numbered, Shape, peek
from schemas.decode.check import DEFAULT_LIMITS, RecordLimits
from schemas.decode.decoder import Decoder, Reject
from schemas.decode.forward import Forward, restored, topic_of
from schemas.decode.inputs import Inputs
from schemas.decode.reject import Rejects
from schemas.mapping.field_types import event_types
from schemas.records.registry import FILES, SchemaSource
from schemas.tables.counts import add_up, count, count_feed_views
from schemas.tables.external import EXTERNAL_SCHEMA, Said
from schemas.tables.interaction import COLUMNS
from schemas.tables.placement import partition_of
from schemas.tables.profile import PROFILE
from schemas.tables.projection import VIEWS, with_control
from schemas.tables.repeats import Window, hashes

__all__ = ["Ingested", "ingest"]

_MANY = 2_000


@dataclass(frozen=True, slots=True)
class Ingested:
    """The decoded events of one part of a fetch.

    `interactions` are in `interaction.SCHEMA`, not folded: events of one step rarely share a key,
    so folding only at the flush costs less than folding twice. Events without a source are rows of
    `profile.PROFILE` there. `events` counts the accepted events, without rejects and forwards.
    `counts` (`counts.COUNT_SCHEMA`) excludes repeated events, and is summed only if that makes it
    shorter. `externals` (`external.EXTERNAL_SCHEMA`) are the new external ids. `hashes` are the
    hashes of the ids of all accepted events.
    """

    interactions: pl.DataFrame
    counts: pl.DataFrame
    externals: pl.DataFrame
    hashes: pl.Series
    forwards: list[Forward]
    rejects: list[Reject]
    events: int


def ingest(
    batches: Sequence[RecordBatch],
    partition: int,
    partitions: int,
    inputs: Inputs,
    limits: RecordLimits = DEFAULT_LIMITS,
    source: SchemaSource = FILES,
    window: Window | None = None,
    said: Said | None = None,
) -> Ingested:
    """Decode batches of the event topics and of `repartition`, for the shard `partition`.

    `window` knows the event ids seen before, and learns the ids of these events. `said` does the
    same with external ids; without it the result has none. `inputs` gives the kind of each topic.
    Events from `repartition` are never forwarded again. Raises the errors of
    schemas.decode.decoder.
    """
    intake = _Intake(inputs, limits, source)
    for number, batch in enumerate(batches):
        intake.sort(number, batch)
    # One frame for all kinds of events: a query costs more than what it does with a few rows.
    rows = intake.read()
    rows, misplaced = _placed(rows, batches, partition, partitions, inputs)
    forwards = [] if misplaced is None else list(_forwards(misplaced, batches, intake.proven))
    seen = hashes(rows["id"])
    window = Window(0) if window is None else window
    fresh = window.take(seen)
    externals = pl.DataFrame(schema=EXTERNAL_SCHEMA) if said is None else said.news(rows)
    taken = with_control(rows.hstack([fresh.alias("fresh")]))
    return Ingested(
        interactions=taken[list(COLUMNS)],
        counts=_counts(taken),
        externals=externals,
        hashes=seen,
        forwards=forwards,
        rejects=intake.rejects.found,
        events=len(seen),
    )


def _counts(rows: pl.DataFrame) -> pl.DataFrame:
    """Counts of the events that are not repeats, summed if there are many."""
    if not rows["fresh"].all():
        rows = rows.filter("fresh")
    sourced = rows["source"] != PROFILE
    if sourced.all():
        counts = count(rows)
    else:
        views = rows.filter(pl.col("kind") == "feed_view")
        counts = pl.concat([count(rows.filter(sourced)), count_feed_views(views["user"])])
    return counts if counts.height < _MANY else add_up(counts)


class _Intake:
    """Sorts batches by event and shape, and reads each group with its event's decoder."""

    def __init__(self, inputs: Inputs, limits: RecordLimits, source: SchemaSource) -> None:
        self.rejects = Rejects(limits, inputs.repartition)
        #: Batches that were read as blocks: what lies in them is as it should be.
        self.proven: set[int] = set()
        self._inputs = inputs
        self._decoders: dict[str, Decoder] = {}
        self._limits = limits
        self._source = source
        self._groups: dict[tuple[str, Shape | None], list[Numbered]] = {}
        self._mixed: list[Numbered] = []

    def sort(self, number: int, batch: RecordBatch) -> None:
        if batch.fault is not None:
            self.rejects.add_batch(batch, *batch.fault)
            return
        forwarded = batch.topic == self._inputs.repartition
        shape = peek(batch, forwarded=forwarded)
        topic = batch.topic
        if forwarded:
            if shape is None or shape.origin is None:
                self._mixed.append((number, batch))
                return
            topic = shape.origin.decode(errors="replace")
        event = self._inputs.events.get(topic)
        if event is None:
            self._mixed.append((number, batch))
        else:
            self._groups.setdefault((event, shape), []).append((number, batch))

    def read(self) -> pl.DataFrame:
        """The columns of `VIEWS` and of `Decoder.frames`; afterwards `rejects` is complete."""
        for (event, shape), group in self._groups.items():
            left = self._decoder(event).read_alike(shape, group)
            self.proven |= {number for number, _ in group} - {number for number, _ in left}
            for number, batch in left:
                if batch.topic == self._inputs.repartition:
                    self._mixed.append((number, batch))
                else:
                    self._decoder(event).read_singly(number, batch)
        for number, batch in self._mixed:
            try:
                for records in chunks(batch):
                    self._read_mixed(number, batch, records)
            except CorruptRecords as error:
                self.rejects.add_batch(batch, error.code, error.detail)
        frames = [_nothing()]
        for decoder in self._decoders.values():
            frames += decoder.frames
        return pl.concat(frames[1:] or frames)

    def _read_mixed(self, number: int, batch: RecordBatch, records: Sequence[KafkaRecord]) -> None:
        events: dict[str, list[KafkaRecord]] = {}
        forwarded = batch.topic == self._inputs.repartition
        for record in records:
            origin = topic_of(record) if forwarded else batch.topic
            event = self._inputs.events.get(origin)
            if event is None:
                detail = f"no kind of event has the topic {origin[:80]!r}"
                self.rejects.add(batch, record, "undecodable", detail)
            else:
                events.setdefault(event, []).append(restored(record) if forwarded else record)
        for event, alike in events.items():
            self._decoder(event).read_records(number, batch, alike)

    def _decoder(self, event: str) -> Decoder:
        if event not in self._decoders:
            self._decoders[event] = Decoder(
                event,
                VIEWS[event],
                self.rejects,
                limits=self._limits,
                source=self._source,
                mappings=self._inputs.mappings,
            )
        return self._decoders[event]


@cache
def _nothing() -> pl.DataFrame:
    """No rows, as `_Intake.read` gives them."""
    view = VIEWS["send"].build(lambda name: pl.lit(None, event_types("send")[name]))
    place = {"batch": pl.UInt32, "offset": pl.Int64, "timestamp": pl.Int64}
    return pl.DataFrame(schema=place).select(*view, *place)


def _placed(
    rows: pl.DataFrame,
    batches: Sequence[RecordBatch],
    partition: int,
    partitions: int,
    inputs: Inputs,
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Split into (ours, misplaced); misplaced has the additional column `target`."""
    target = partition_of(rows["user"], partitions).alias("target")
    misplaced = target != partition
    if not misplaced.any():
        return rows, None
    final = [n for n, batch in enumerate(batches) if batch.topic == inputs.repartition]
    if final:
        misplaced &= ~rows["batch"].is_in(pl.Series(final, dtype=pl.UInt32).implode())
    return rows.filter(~misplaced), rows.hstack([target]).filter(misplaced)


def _forwards(
    misplaced: pl.DataFrame, batches: Sequence[RecordBatch], proven: Collection[int]
) -> Iterable[Forward]:
    forwards: dict[tuple[str, int, bool], Forward] = {}
    places = misplaced.select("batch", "offset", "target", "user").sort("batch", "offset")
    for (number,), rows in places.partition_by("batch", as_dict=True, maintain_order=True).items():
        batch = batches[number]
        unpacked = unpack_proven(batch) if number in proven else unpack(batch)
        records = {record.offset: record for record in unpacked}
        for offset, target, user in rows.select("offset", "target", "user").iter_rows():
            record = records[offset]
            group = (batch.topic, target, record.key is None)
            if group not in forwards:
                forwards[group] = Forward(batch.topic, batch.partition, target)
            forwards[group].add(record, user)
    return forwards.values()

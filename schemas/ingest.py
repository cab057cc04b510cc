"""Everything a step needs of fetched batches: interactions, forwards, rejects."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from schemas import interaction
from schemas.batch import KafkaRecord, RawBatch, unpack
from schemas.counts import COUNT_SCHEMA, add_up, count, count_feed_views
from schemas.decode import Decoder, Numbered, Reject
from schemas.decode_blocks import Shape, peek
from schemas.decode_check import DEFAULT_LIMITS, Limits
from schemas.decode_reject import reject
from schemas.placement import partition_of
from schemas.profile import sourceless
from schemas.projection import FIELDS, interactions
from schemas.registry import FILES, SchemaSource
from schemas.repeats import Window, hashes

__all__ = ["ORIGIN", "REPARTITION", "Forward", "Ingested", "ingest"]

REPARTITION = "repartition"
"""Last part of the name of the topic that misplaced events travel through."""
ORIGIN = "topic"
"""Header of a record there: the topic that the event came from."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Events of one kind that belong to another shard: original keys, values, timestamps.

    `topic` is the one they came from, for the header `ORIGIN`, the only one of the forwarded
    records: so the shard that gets them finds batches of one shape.
    """

    topic: str
    partition: int
    records: list[KafkaRecord]


@dataclass(frozen=True, slots=True)
class Ingested:
    """`interactions` are in `interaction.SCHEMA`, not folded: events of one step rarely share a
    key, so the fold at the flush does it once for less than twice. Events without a source
    are rows of `profile.PROFILE` there. `events` counts the events taken in, without rejects
    and forwards. `counts` (`counts.COUNT_SCHEMA`)
    leaves repeated events out; `hashes` are those of the ids of all the events taken in.
    """

    interactions: pl.DataFrame
    counts: pl.DataFrame
    hashes: pl.Series
    forwards: list[Forward]
    rejects: list[Reject]
    events: int


def ingest(
    batches: Sequence[RawBatch],
    partition: int,
    partitions: int,
    limits: Limits = DEFAULT_LIMITS,
    source: SchemaSource = FILES,
    window: Window | None = None,
) -> Ingested:
    """Take in batches of the event topics and of `repartition`, for the shard `partition`.

    `window` knows the ids seen before, and learns those of these events.

    A topic's last dotted part names its event. Events from `repartition` are never forwarded
    again. Raises what schemas.decode raises.
    """
    intake = _Intake(limits, source)
    for number, batch in enumerate(batches):
        intake.sort(number, batch)
    intake.read()
    rejects = intake.rejects
    forwards: list[Forward] = []
    taken: list[tuple[str, pl.DataFrame]] = []
    decoded = [(event, decoder.result()) for event, decoder in intake.decoders.items()]
    # Once for all kinds of events: a query costs more than what it does with a few rows.
    targets = partition_of(_column("user_id", [found.frame for _, found in decoded]), partitions)
    at = 0
    for event, found in decoded:
        rejects += found.rejects
        target = targets.slice(at, found.frame.height).alias("target")
        at += found.frame.height
        frame, misplaced = _placed(found.frame, target, batches, partition)
        if misplaced is not None:
            forwards += _forwards(misplaced, batches)
        taken.append((event, frame))
    seen = hashes(_column("id", [frame for _, frame in taken]))
    window = Window(0) if window is None else window
    fresh = window.fresh(seen)
    window.add(seen)
    parts = [interaction.empty()]
    tallies = [pl.DataFrame(schema=COUNT_SCHEMA)]
    at = 0
    for event, frame in taken:
        rows = interactions(event, frame)
        parts += [rows, sourceless(event, frame)]
        tallies += _tallies(event, frame, rows, fresh.slice(at, frame.height))
        at += frame.height
    return Ingested(
        pl.concat(parts), add_up(pl.concat(tallies)), seen, forwards, rejects, len(seen)
    )


def _column(name: str, frames: Sequence[pl.DataFrame]) -> pl.Series:
    return pl.concat([pl.Series(name, [], dtype=pl.String), *(frame[name] for frame in frames)])


def _tallies(
    event: str, frame: pl.DataFrame, rows: pl.DataFrame, fresh: pl.Series
) -> list[pl.DataFrame]:
    """Counts of the events that are not repeats; `rows` are the interactions of all of them."""
    if not fresh.all():
        frame = frame.filter(fresh)
        rows = interactions(event, frame)
    if event != "signal":
        return [count(rows)]
    return [count_feed_views(frame.filter(pl.col("signal_type") == "FEED_VIEW")["user_id"])]


class _Intake:
    """Sorts batches by event and shape, and reads each group with its event's decoder."""

    def __init__(self, limits: Limits, source: SchemaSource) -> None:
        self.decoders: dict[str, Decoder] = {}
        self.rejects: list[Reject] = []
        self._limits = limits
        self._source = source
        self._groups: dict[tuple[str, Shape | None], list[Numbered]] = {}
        self._mixed: list[Numbered] = []

    def sort(self, number: int, batch: RawBatch) -> None:
        forwarded = _is_repartition(batch.topic)
        shape = peek(batch, same_header=forwarded)
        topic = batch.topic
        if forwarded:
            if shape is None or shape.origin is None:
                self._mixed.append((number, batch))
                return
            topic = shape.origin.decode(errors="replace")
        event = _event_of(topic)
        if event is None:
            self._mixed.append((number, batch))
        else:
            self._groups.setdefault((event, shape), []).append((number, batch))

    def read(self) -> None:
        for (event, shape), group in self._groups.items():
            for number, batch in self._decoder(event).read_alike(shape, group):
                if _is_repartition(batch.topic):
                    self._mixed.append((number, batch))
                else:
                    self._decoder(event).read_records(number, batch, unpack(batch))
        for number, batch in self._mixed:
            self._read_mixed(number, batch)

    def _read_mixed(self, number: int, batch: RawBatch) -> None:
        events: dict[str, list[KafkaRecord]] = {}
        for record in unpack(batch):
            origin = batch.topic
            if _is_repartition(batch.topic):
                value = next((value for name, value in record.headers if name == ORIGIN), None)
                origin = (value or b"").decode(errors="replace")
            event = _event_of(origin)
            if event is None:
                detail = f"no kind of event has the topic {origin!r}"
                self.rejects.append(reject(batch, record, "undecodable", detail, self._limits))
            else:
                events.setdefault(event, []).append(record)
        for event, records in events.items():
            self._decoder(event).read_records(number, batch, records)

    def _decoder(self, event: str) -> Decoder:
        if event not in self.decoders:
            self.decoders[event] = Decoder(
                event, columns=("id", *FIELDS[event]), limits=self._limits, source=self._source
            )
        return self.decoders[event]


def _placed(
    frame: pl.DataFrame, target: pl.Series, batches: Sequence[RawBatch], partition: int
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Split into (ours, misplaced); misplaced has the column `target` besides."""
    misplaced = target != partition
    if not misplaced.any():
        return frame, None
    final = [number for number, batch in enumerate(batches) if _is_repartition(batch.topic)]
    if final:
        misplaced &= ~frame["batch"].is_in(pl.Series(final, dtype=pl.UInt32).implode())
    return frame.filter(~misplaced), frame.hstack([target]).filter(misplaced)


def _forwards(misplaced: pl.DataFrame, batches: Sequence[RawBatch]) -> Iterable[Forward]:
    forwards: dict[tuple[str, int], Forward] = {}
    places = misplaced.select("batch", "offset", "target").sort("batch", "offset")
    for (number,), rows in places.partition_by("batch", as_dict=True, maintain_order=True).items():
        batch = batches[number]
        records = {record.offset: record for record in unpack(batch)}
        for offset, target in rows.select("offset", "target").iter_rows():
            place = (batch.topic, target)
            if place not in forwards:
                forwards[place] = Forward(*place, [])
            forwards[place].records.append(records[offset])
    return forwards.values()


def _is_repartition(topic: str) -> bool:
    return topic.rpartition(".")[2] == REPARTITION


def _event_of(topic: str) -> str | None:
    event = topic.rpartition(".")[2]
    return event if event in FIELDS else None

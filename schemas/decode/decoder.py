"""Decodes fetched record batches to a frame of events: the fast way first, then the slower ways.

Batches of one shape are read together as Avro blocks (schemas.decode.blocks). If that fails, each
batch is tried alone. If that fails too, the batch is split into records, which are read in groups
or one by one (schemas.decode.singles). No record is read wrongly without an error: every way proves
that it read each record at its correct position, or gives up.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import polars as pl

from schemas.decode.batch import KafkaRecord, RecordBatch, chunks
from schemas.decode.batch_records import CorruptRecords, unpack_proven
from schemas.decode.blocks import Misfit, Numbered, Shape, peek, read_batches
from schemas.decode.check import DEFAULT_LIMITS, RULED, RecordLimits, check
from schemas.decode.mapped import plan_of
from schemas.decode.reject import Reject, Rejects
from schemas.decode.singles import decode_records
from schemas.mapping.field_types import event_types
from schemas.mapping.topics import NO_MAPPINGS, TopicMappings
from schemas.records.registry import FILES, SchemaSource
from schemas.tables.view import Projection, fields, select

__all__ = ["DecodedEvents", "Decoder", "RecordLimits", "Reject", "decode"]

_PLACE = {"batch": pl.UInt32(), "offset": pl.Int64(), "timestamp": pl.Int64()}
_PLACE_COLUMNS = [pl.col(name) for name in _PLACE]


@dataclass(frozen=True, slots=True)
class DecodedEvents:
    """`frame` holds the good events: the requested fields, `batch` (UInt32: the batch's number),
    `offset` and `timestamp` (Int64; the broker's, milliseconds).
    """

    frame: pl.DataFrame
    rejects: list[Reject]


def decode(
    batches: Sequence[RecordBatch],
    event: str,
    *,
    columns: Collection[str] | None = None,
    limits: RecordLimits = DEFAULT_LIMITS,
    source: SchemaSource = FILES,
    mappings: TopicMappings = NO_MAPPINGS,
) -> DecodedEvents:
    """Decode the records of `batches`, numbered from 0, all of them events of kind `event`.

    `columns` names the requested fields; the default is all. The order of the rows is not defined.
    Raises `UnknownSchema` if `event` is no kind of event, and Recoverable if `source` does not
    answer.
    """
    types = event_types(event)
    asked = {name: types[name] for name in types if columns is None or name in columns}
    rejects = Rejects(limits)
    decoder = Decoder(
        event, fields(asked), rejects, limits=limits, source=source, mappings=mappings
    )
    groups: dict[Shape | None, list[Numbered]] = {}
    for number, batch in enumerate(batches):
        groups.setdefault(peek(batch), []).append((number, batch))
    for shape, group in groups.items():
        for number, batch in decoder.read_alike(shape, group):
            decoder.read_singly(number, batch)
    nothing = pl.DataFrame(schema={**asked, **_PLACE})
    return DecodedEvents(pl.concat([nothing, *decoder.frames]), rejects.found)


class Decoder:
    """Gathers the events of one kind, from whole batches and from single records.

    `frames` holds the good events: the columns of `view`, `batch` (UInt32: the batch's
    number), `offset` and `timestamp` (Int64; the broker's, milliseconds).
    """

    def __init__(
        self,
        event: str,
        view: Projection,
        rejects: Rejects,
        *,
        limits: RecordLimits,
        source: SchemaSource,
        mappings: TopicMappings = NO_MAPPINGS,
    ) -> None:
        """As for `decode`; unusable records and batches go to `rejects`. Raises `UnknownSchema`."""
        self._rejects = rejects
        self._event = event
        self._view = view
        types = event_types(event)
        #: What the view needs, and the rules look at: the other fields are passed over.
        self._kept = [name for name in types if name in view.needs | RULED]
        self._all = _whole(event, tuple(self._kept))
        self._texts = [name for name in self._kept if types[name] == pl.String]
        self._limits = limits
        self._source = source
        self._mappings = mappings.get(event, ())
        self.frames: list[pl.DataFrame] = []

    def read_alike(self, shape: Shape | None, batches: Sequence[Numbered]) -> list[Numbered]:
        """Read batches of one shape; return the batches that must be read record by record."""
        if shape is None:
            return list(batches)
        try:
            self._read_blocks(shape, batches)
        except Misfit:
            if len(batches) == 1:
                return list(batches)
            return [pair for one in batches for pair in self.read_alike(shape, [one])]
        return []

    def read_singly(self, number: int, batch: RecordBatch) -> None:
        """Read the records of `batch` in groups or one by one."""
        try:
            for records in chunks(batch):
                self.read_records(number, batch, records)
        except CorruptRecords as error:
            self._rejects.add_batch(batch, error.code, error.detail)

    def read_records(self, number: int, batch: RecordBatch, records: Sequence[KafkaRecord]) -> None:
        """Read records of `batch` whose boundaries are known."""
        limits = self._limits
        frame, failures = decode_records(
            records,
            self._event,
            self._kept,
            self._source,
            limits.max_record_bytes,
            self._mappings,
        )
        for position, code, detail in failures:
            self._rejects.add(batch, records[position], code, detail)
        places = {
            "batch": [number] * len(records),
            "offset": [record.offset for record in records],
            "timestamp": [record.timestamp for record in records],
        }
        place = pl.DataFrame(places, schema=_PLACE)[frame["position"]]
        frame = frame.drop("position").hstack(place)
        by_offset = {record.offset: record for record in records}
        self._keep(frame, self._texts, {number: batch}, lambda _: by_offset)

    def _read_blocks(self, shape: Shape, batches: Sequence[Numbered]) -> None:
        chosen = plan_of(self._event, shape.schema_id, self._source, self._mappings)
        if chosen is None:
            raise Misfit("no plan for this schema")
        limits = self._limits
        most = limits.max_record_bytes
        read = read_batches(shape, chosen, batches, self._view, most)
        # No field is longer than its record.
        suspicious = read.longest > limits.max_field_bytes
        if suspicious or read.broken:
            whole = read_batches(shape, chosen, batches, self._all, most, faults=True)
            texts = self._texts if suspicious else ()
            self._keep(whole.frame, texts, dict(batches), _by_offset)
        else:
            self.frames.append(read.frame)

    def _keep(
        self,
        frame: pl.DataFrame,
        texts: Sequence[str],
        batches: Mapping[int, RecordBatch],
        records_of: Callable[[RecordBatch], Mapping[int, KafkaRecord]],
    ) -> None:
        unmapped = None
        if "code" in frame.columns:
            unmapped = frame.filter(pl.col("code").is_not_null())
            frame = frame.filter(pl.col("code").is_null()).drop("code", "detail")
        good, bad = check(frame, texts, self._limits.max_field_bytes)
        if unmapped is not None and unmapped.height:
            place = ["batch", "offset", "code", "detail"]
            bad = unmapped[place] if bad.is_empty() else pl.concat([unmapped[place], bad[place]])
        self.frames.append(select(good, _columns(self._view)))
        for (number,), rows in bad.partition_by("batch", as_dict=True).items():
            batch = batches[number]
            records = records_of(batch)
            for offset, code, detail in rows.select("offset", "code", "detail").iter_rows():
                self._rejects.add(batch, records[offset], code, detail)


@lru_cache(maxsize=64)
def _columns(view: Projection) -> list[pl.Expr]:
    """Those of a view, from fields as they are, and the place."""
    return [*view.build(pl.col), *_PLACE_COLUMNS]


def _by_offset(batch: RecordBatch) -> Mapping[int, KafkaRecord]:
    return {record.offset: record for record in unpack_proven(batch)}


@cache
def _whole(event: str, kept: tuple[str, ...]) -> Projection:
    return fields({name: event_types(event)[name] for name in kept})

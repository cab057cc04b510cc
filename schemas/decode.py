"""Fetched record batches to a frame of events: the fast way first, then the sure ways.

Batches of one shape are read together as Avro blocks (schemas.decode_blocks). Where that
fails, each batch is tried alone; where that fails too, its records are told apart and read
in groups or one by one (schemas.decode_singles). Nothing is read wrong silently: every way
either proves that it read each record at its place, or gives up.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from schemas.batch import KafkaRecord, RawBatch, unpack
from schemas.decode_blocks import Misfit, Shape, peek, read_batches
from schemas.decode_check import DEFAULT_LIMITS, Limits, check
from schemas.decode_plan import event_types, plan
from schemas.decode_reject import Reject, reject
from schemas.decode_singles import decode_records
from schemas.registry import FILES, SchemaSource

__all__ = ["Decoded", "Decoder", "Limits", "Reject", "decode"]

Numbered = tuple[int, RawBatch]
"""A batch with its number, which is the caller's."""

_PLACE = {"batch": pl.UInt32(), "offset": pl.Int64(), "timestamp": pl.Int64()}


@dataclass(frozen=True, slots=True)
class Decoded:
    """`frame` holds the good events: the fields asked for, `batch` (UInt32: the batch's
    number), `offset` and `timestamp` (Int64; the broker's, milliseconds).
    """

    frame: pl.DataFrame
    rejects: list[Reject]


def decode(
    batches: Sequence[RawBatch],
    event: str,
    *,
    columns: Collection[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    source: SchemaSource = FILES,
) -> Decoded:
    """Decode the records of `batches`, numbered from 0, all of them events of kind `event`.

    `columns` names the fields wanted; default are all. The order of the rows is not defined.
    Raises `CorruptRecords` where records cannot be told apart, `UnknownSchema` where `event`
    is none, and Recoverable where `source` cannot be asked now.
    """
    decoder = Decoder(event, columns=columns, limits=limits, source=source)
    groups: dict[Shape | None, list[Numbered]] = {}
    for number, batch in enumerate(batches):
        groups.setdefault(peek(batch), []).append((number, batch))
    for shape, group in groups.items():
        for number, batch in decoder.read_alike(shape, group):
            decoder.read_records(number, batch, unpack(batch))
    return decoder.result()


class Decoder:
    """Gathers the events of one kind, from whole batches and from single records."""

    def __init__(
        self, event: str, *, columns: Collection[str] | None, limits: Limits, source: SchemaSource
    ) -> None:
        """As for `decode`. Raises `UnknownSchema`."""
        self._event = event
        self._types = event_types(event)
        self._texts = [name for name, kind in self._types.items() if kind == pl.String]
        asked = self._types if columns is None else columns
        needed = {"id", "user_id", "time", "campaign_id", "canvas_id"}
        needed |= {"conversion_behavior_index"} & self._types.keys()
        self._read = [name for name in self._types if name in asked or name in needed]
        self._limits = limits
        self._source = source
        schema = {name: self._types[name] for name in self._types if name in asked}
        self._frames = [pl.DataFrame(schema={**schema, **_PLACE})]
        self._rejects: list[Reject] = []

    def read_alike(self, shape: Shape | None, batches: Sequence[Numbered]) -> list[Numbered]:
        """Read batches of one shape; give back those that must be read record by record."""
        if shape is None:
            return list(batches)
        try:
            self._read_blocks(shape, batches)
        except Misfit:
            if len(batches) == 1:
                return list(batches)
            return [pair for one in batches for pair in self.read_alike(shape, [one])]
        return []

    def read_records(self, number: int, batch: RawBatch, records: Sequence[KafkaRecord]) -> None:
        """Read records of `batch` whose boundaries are known."""
        limits = self._limits
        frame, failures = decode_records(
            records, self._event, self._source, limits.max_record_bytes
        )
        for position, code, detail in failures:
            self._rejects.append(reject(batch, records[position], code, detail, limits))
        places = {
            "batch": [number] * len(records),
            "offset": [record.offset for record in records],
            "timestamp": [record.timestamp for record in records],
        }
        place = pl.DataFrame(places, schema=_PLACE)[frame["position"]]
        frame = frame.drop("position").hstack(place)
        self._keep(frame, self._texts, {number: batch})

    def result(self) -> Decoded:
        """All that was read."""
        return Decoded(pl.concat(self._frames), self._rejects)

    def _read_blocks(self, shape: Shape, batches: Sequence[Numbered]) -> None:
        chosen = plan(self._event, shape.schema_id, self._source)
        if chosen is None:
            raise Misfit("no plan for this schema")
        limits = self._limits
        most = limits.max_record_bytes
        frame, longest = read_batches(shape, chosen, batches, self._read, most)
        texts: Sequence[str] = ()
        # No field is longer than its record.
        if longest > limits.max_field_bytes:
            texts = self._texts
            frame, _ = read_batches(shape, chosen, batches, list(self._types), most)
        self._keep(frame, texts, dict(batches))

    def _keep(
        self, frame: pl.DataFrame, texts: Sequence[str], batches: dict[int, RawBatch]
    ) -> None:
        good, bad = check(frame, texts, self._limits.max_field_bytes)
        self._frames.append(good.select(self._frames[0].columns))
        for (number,), rows in bad.partition_by("batch", as_dict=True).items():
            batch = batches[number]
            records = {record.offset: record for record in unpack(batch)}
            for offset, code, detail in rows.select("offset", "code", "detail").iter_rows():
                self._rejects.append(reject(batch, records[offset], code, detail, self._limits))

"""Decodes records with known boundaries: of mixed batches, and of batches that no faster way could
read.

Bodies of one schema id are read as one Avro block. Each body is followed by its running number as
an additional field, which detects a body that is too short or too long. The remaining records are
read one by one.
"""

import io
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import polars as pl

from schemas.decode.batch_records import KafkaRecord
from schemas.decode.loose import avro_object, json_object, mapped_frame, values_of
from schemas.decode.mapped import MappedSchema, json_mapping, plan_of, resolved
from schemas.decode.one import BodyReader, body_reader
from schemas.decode.plan import SYNC, UNREADABLE, DecodePlan, container_header
from schemas.mapping.field_types import event_types
from schemas.mapping.topics import TopicMapping
from schemas.records import codec
from schemas.records.registry import SchemaSource, UnknownSchema
from schemas.records.undecodable import Undecodable
from schemas.records.varint import varint

__all__ = ["Failure", "decode_records"]

Failure = tuple[int, str, str]
"""Position of a record, code, detail."""

_FRAME = struct.Struct(">BI")
_NUMBER = struct.Struct("<d")
# Gives every number bytes that a body one byte too short does not read as its end.
_FRACTION = 0.1
_BAD_HALVES = 3
# Below this, one by one is as fast as a block.
_SMALL = 8


def decode_records(
    records: Sequence[KafkaRecord],
    event: str,
    fields: Collection[str],
    source: SchemaSource,
    max_bytes: int,
    mappings: tuple[TopicMapping, ...] = (),
) -> tuple[pl.DataFrame, list[Failure]]:
    """Decode the values of `records`: (frame, failures). `mappings` are those of the topic.

    The frame has `fields` and `position` (UInt32), the index in `records`; other fields do not
    affect the result. Raises Recoverable if `source` does not answer.
    """
    failures: list[Failure] = []
    groups: dict[int, list[int]] = {}
    singles: list[int] = []
    for position, record in enumerate(records):
        value = record.value
        if value is None:
            failures.append((position, "undecodable", "the value is null"))
        elif len(value) + len(record.key or b"") > max_bytes:
            failures.append((position, "too_large", f"{len(value)} bytes of value"))
        elif len(value) < _FRAME.size or value[0]:
            singles.append(position)
        else:
            groups.setdefault(_FRAME.unpack_from(value)[1], []).append(position)
    frames: list[pl.DataFrame] = []
    loose = _Loose(records, fields, failures)
    if mappings and (mapping := json_mapping(mappings)) is not None:
        singles = loose.take_json(singles, mapping)
    for schema_id, positions in groups.items():
        chosen = plan_of(event, schema_id, source, mappings)
        if chosen is not None:
            read, left = _blocks(records, positions, chosen, fields)
            frames += read
            singles += left
        elif mappings:
            singles += loose.take_framed(positions, _meaning(event, schema_id, source, mappings))
        else:
            singles += positions
    read, failed = _one_by_one(records, singles, event, fields, source, mappings)
    types = {name: event_types(event)[name] for name in fields}
    nothing = pl.DataFrame(schema={**types, "position": pl.UInt32()})
    good = [_without_faults(frame, failures) for frame in [*read, *frames, *loose.frames()]]
    return pl.concat([nothing, *good]), failures + failed


def _without_faults(frame: pl.DataFrame, failures: list[Failure]) -> pl.DataFrame:
    """The records that a mapping could make; the others are failures."""
    if "code" not in frame.columns:
        return frame
    bad = frame.filter(pl.col("code").is_not_null())
    failures += bad.select("position", "code", "detail").iter_rows()
    return frame.filter(pl.col("code").is_null()).drop("code", "detail")


def _meaning(
    event: str, schema_id: int, source: SchemaSource, mappings: tuple[TopicMapping, ...]
) -> MappedSchema | TopicMapping | None:
    """What the schema id means to the mappings: the mapping of JSON if the registry has a JSON
    schema under it; None if the records are ours, or of no schema.
    """
    try:
        return resolved(event, schema_id, source, mappings)
    except UnknownSchema as error:
        return json_mapping(mappings) if error.schema_type == "JSON" else None


class _Loose:
    """Reads records one by one that a mapping makes ours; those that cannot be are failures."""

    def __init__(
        self,
        records: Sequence[KafkaRecord],
        fields: Collection[str],
        failures: list[Failure],
    ) -> None:
        self._records = records
        self._fields = fields
        self._failures = failures
        self._groups: dict[MappedSchema, list[tuple[int, Mapping[str, object]]]] = {}
        self._json: MappedSchema | None = None

    def take_json(self, positions: list[int], mapping: TopicMapping, at: int = 0) -> list[int]:
        """Take the objects of JSON, which begin at `at`; returns the positions of other values."""
        if self._json is None:
            self._json = MappedSchema(mapping, None)
        left = []
        for position in positions:
            data = (self._records[position].value or b"")[at:]
            if not at and data[:1] != b"{":
                left.append(position)
            else:
                self._take(position, self._json, partial(json_object, data))
        return left

    def take_framed(
        self, positions: list[int], meaning: MappedSchema | TopicMapping | None
    ) -> list[int]:
        """Take records of one schema id; returns the positions of those that are not for it."""
        if meaning is None:
            return positions
        if isinstance(meaning, TopicMapping):
            return self.take_json(positions, meaning, _FRAME.size)
        for position in positions:
            if meaning.refusal:
                self._failures.append((position, "unmapped", meaning.refusal))
                continue
            data = self._records[position].value or b""
            read = partial(avro_object, data, _FRAME.size, meaning.parsed)
            self._take(position, meaning, read)
        return []

    def frames(self) -> Iterator[pl.DataFrame]:
        """What has been taken, with `code` and `detail`."""
        for meaning, taken in self._groups.items():
            rows = [values for _, values in taken]
            frame = mapped_frame(meaning.mapping, rows, self._fields, meaning.units)
            places = pl.Series("position", [position for position, _ in taken], pl.UInt32)
            yield frame.select(*self._fields).hstack([places, *frame[["code", "detail"]]])

    def _take(
        self, position: int, meaning: MappedSchema, read: Callable[[], Mapping[str, object]]
    ) -> None:
        try:
            values = values_of(meaning.mapping, read(), self._fields)
        except Undecodable as error:
            self._failures.append((position, error.code, error.detail))
        else:
            self._groups.setdefault(meaning, []).append((position, values))


def _blocks(
    records: Sequence[KafkaRecord],
    positions: list[int],
    chosen: DecodePlan,
    fields: Collection[str],
) -> tuple[list[pl.DataFrame], list[int]]:
    """Read in blocks, and halve blocks that fail: (frames, positions to read one by one)."""
    frames: list[pl.DataFrame] = []
    left: list[int] = []
    waiting = [positions]
    failed = 0
    while waiting:
        part = waiting.pop()
        if len(part) < _SMALL or failed >= _BAD_HALVES:
            left += part
            continue
        frame = _block(records, part, chosen, fields)
        if frame is not None:
            frames.append(frame)
        else:
            failed += 1
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]
    return frames, left


def _block(
    records: Sequence[KafkaRecord],
    positions: list[int],
    chosen: DecodePlan,
    fields: Collection[str],
) -> pl.DataFrame | None:
    bodies: list[bytes] = []
    for number, position in enumerate(positions):
        bodies.append((records[position].value or b"")[_FRAME.size :])
        bodies.append(_NUMBER.pack(number + _FRACTION))
    payload = b"".join(bodies)
    head = container_header([*chosen.wire, {"name": "number", "type": "double"}])
    data = b"".join((head, varint(len(positions)), varint(len(payload)), payload, SYNC))
    try:
        needed = sorted({need for name in fields for need in chosen.needs[name]})
        frame = pl.read_avro(io.BytesIO(data), columns=[*needed, "number"])
        expected = pl.int_range(len(positions)).cast(pl.Float64) + _FRACTION
        if (
            frame.height != len(positions)
            or not frame.select((pl.col("number") == expected).all()).item()
        ):
            return None
        return frame.select(
            *(chosen.columns[name] for name in fields),
            pl.Series("position", positions, dtype=pl.UInt32),
            *(chosen.told(fields) if chosen.faults else ()),
        )
    # It means that these bytes are not all such records, not which: halves or the codec tell.
    except UNREADABLE:
        return None


def _one_by_one(
    records: Sequence[KafkaRecord],
    positions: list[int],
    event: str,
    fields: Collection[str],
    source: SchemaSource,
    mappings: tuple[TopicMapping, ...],
) -> tuple[list[pl.DataFrame], list[Failure]]:
    failures: list[Failure] = []
    readers: dict[int, BodyReader | None] = {}
    plain: dict[BodyReader, list[tuple[int, tuple[object, ...]]]] = {}
    rows: list[dict[str, object]] = []
    for position in positions:
        data = records[position].value or b""
        try:
            reader = _reader(data, event, fields, source, mappings, readers)
            if reader is not None:
                row = reader.row(data, _FRAME.size)
                plain.setdefault(reader, []).append((position, row))
            else:
                found = codec.decode(data, event, source, fields=frozenset(fields))
                rows.append({**_checked(found, event, fields), "position": position})
        except Undecodable as error:
            failures.append((position, error.code, error.detail))
    types = {name: event_types(event)[name] for name in fields}
    frames = [pl.DataFrame(rows, schema={**types, "position": pl.UInt32()}, orient="row")]
    for reader, pairs in plain.items():
        places = pl.Series("position", [position for position, _ in pairs], pl.UInt32)
        frame = reader.frame([row for _, row in pairs])
        frames.append(frame.select(*fields).hstack([places, *frame.drop(*fields).get_columns()]))
    return frames, failures


def _reader(
    data: bytes,
    event: str,
    fields: Collection[str],
    source: SchemaSource,
    mappings: tuple[TopicMapping, ...],
    readers: dict[int, BodyReader | None],
) -> BodyReader | None:
    """The reader for bodies of this schema, if there is a plan."""
    if len(data) < _FRAME.size or data[0]:
        return None
    (_, schema_id) = _FRAME.unpack_from(data)
    if schema_id not in readers:
        chosen = plan_of(event, schema_id, source, mappings)
        readers[schema_id] = None if chosen is None else body_reader(chosen, fields)
    return readers[schema_id]


def _checked(
    found: Mapping[str, object], event: str, fields: Collection[str]
) -> Mapping[str, object]:
    """The fields, after a check that numbers fit their columns: a writer's type may have more
    bits.
    """
    for name in fields:
        value, kind = found[name], event_types(event)[name]
        if isinstance(value, int) and not isinstance(value, bool):
            bits = 31 if kind == pl.Int32 else 63
            if not -(1 << bits) <= value < 1 << bits:
                raise Undecodable("undecodable", f"{name}: {value} is too large")
    return {name: found[name] for name in fields}

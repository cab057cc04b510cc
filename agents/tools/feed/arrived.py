"""Maps the records of a topic of Currents events: Avro with Confluent framing, or JSON.

JSON may be plain, in the form of Avro (`{"string": "a"}` for a value of a union), or nested as
Braze's HTTP connector sends it (`user`, `properties`). The event type is the name of the Avro
schema or the field `event_type`; without one, the name of the topic.
"""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import fastavro
import orjson

from agents.tools.feed.apply import Mapper
from agents.tools.feed.currents import TYPES, known_type
from agents.tools.feed.packing import chunk_of
from agents.tools.import_files import TypeCount
from agents.tools.publish import Chunk
from agents.tools.records import Ids
from schemas.decode.reject import Reject
from schemas.mapping.frames import frame_of
from schemas.mapping.rule import Rule
from schemas.records import registry
from schemas.records.registry import SchemaSource, UnknownSchema
from schemas.records.undecodable import MEANINGS
from streams.clock import Clock

__all__ = ["Arrived", "ArrivedMapper", "MappedRecords"]

UNKNOWN = "this version of emberline does not know the type"
_FRAME = struct.Struct(">BI")
_AVRO_TYPES = frozenset({"string", "int", "long", "boolean", "double", "float", "bytes", "array"})
_NESTED = ("user", "properties")
_TYPE_FIELDS = ("event_type", "event")


@dataclass(frozen=True, slots=True)
class Arrived:
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class MappedRecords:
    """What becomes of some records: those to send, those that cannot be mapped, and counts by event
    type. `read` is their number, once they are written.
    """

    chunks: list[Chunk] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    counts: dict[str, TypeCount] = field(default_factory=dict)
    read: int = 0


class _Unmapped(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class ArrivedMapper:
    """Maps records. `source` has the schemas by id, `ids` gives the schema ids of what is sent,
    `most` is the longest text that workers accept.
    """

    def __init__(self, source: SchemaSource, ids: Ids, most: int, clock: Clock) -> None:
        self._source = source
        self._ids = ids
        self._clock = clock
        self._mappers = {
            name: Mapper(rule, most) for name, rule in TYPES.items() if isinstance(rule, Rule)
        }
        self._readers: dict[int, tuple[str, Any]] = {}

    def map(self, records: Sequence[Arrived]) -> MappedRecords:
        """Map all of `records`. Raises Recoverable if the schema registry does not answer."""
        made = MappedRecords()
        groups: dict[str, list[tuple[Arrived, Mapping[str, Any]]]] = {}
        for one in records:
            try:
                name, event = self._read(one)
            except _Unmapped as error:
                made.rejects.append(_reject(one, error.code, str(error)))
                continue
            groups.setdefault(name, []).append((one, event))
        for name, group in groups.items():
            made.counts[name] = self._group(name, group, made)
        return made

    def _group(
        self, name: str, group: list[tuple[Arrived, Mapping[str, Any]]], made: MappedRecords
    ) -> TypeCount:
        mapper = self._mappers.get(name)
        if mapper is None:
            return TypeCount(skipped={str(TYPES.get(name, UNKNOWN)): len(group)})
        frame = frame_of([event for _, event in group], sorted(mapper.columns))
        mapped = mapper.apply(frame, self._clock.now_ms())
        for row, why in mapped.faults:
            code, _, detail = why.partition(": ")
            known = code in MEANINGS
            one = group[row][0]
            made.rejects.append(
                _reject(one, code if known else "undecodable", detail if known else why)
            )
        chunk = chunk_of(mapper.rule.kind, mapped.rows, self._ids)
        if chunk.keys:
            made.chunks.append(chunk)
        return TypeCount(chunk.topic, len(chunk.keys), len(mapped.faults), mapped.skipped)

    def _read(self, one: Arrived) -> tuple[str, Mapping[str, Any]]:
        """(event type, fields) of a record."""
        value = one.value
        if value is None:
            raise _Unmapped("undecodable", "the value is null")
        if value[:1] == b"{":
            return _json(one.topic, value)
        if len(value) < _FRAME.size or value[0]:
            raise _Unmapped("undecodable", "neither Avro in Confluent framing nor a JSON object")
        (_, schema_id) = _FRAME.unpack_from(value)
        name, parsed = self._reader(schema_id, one.topic)
        content = io.BytesIO(value)
        content.seek(_FRAME.size)
        read: Any = fastavro.schemaless_reader
        try:
            event: Mapping[str, Any] = read(content, parsed, None)
        # whatever garbage makes fastavro raise, the fact is the same
        except Exception as error:
            detail = f"{type(error).__name__} {error!s:.200}"
            raise _Unmapped("undecodable", detail) from error
        if content.tell() != len(value):
            raise _Unmapped("undecodable", "bytes behind the record")
        return name, event

    def _reader(self, schema_id: int, topic: str) -> tuple[str, Any]:
        """(event type, schema for reading) of a schema id."""
        if (found := self._readers.get(schema_id)) is not None:
            return found
        try:
            schema = self._source.writer(schema_id)
        except UnknownSchema as error:
            raise _Unmapped("unknown_schema", error.message) from error
        full = ".".join(filter(None, (schema.get("namespace"), str(schema.get("name")))))
        stored = registry.without(schema, {"logicalType"})
        name = _named(full, topic)
        found = self._readers[schema_id] = name, fastavro.parse_schema(stored)
        return found


def _json(topic: str, value: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        found = orjson.loads(value)
    except ValueError as error:
        raise _Unmapped("bad_json", str(error)) from error
    if not isinstance(found, dict):
        raise _Unmapped("bad_json", "no JSON object")
    flat = dict(_flat(found))
    declared = next((flat[name] for name in _TYPE_FIELDS if isinstance(flat.get(name), str)), "")
    return _named(declared, topic), flat


def _flat(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if name in _NESTED and isinstance(value, dict):
            yield from _flat(value)
        elif isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _AVRO_TYPES:
            yield name, next(iter(value.values()))
        else:
            yield name, value


def _named(declared: str, topic: str) -> str:
    found = known_type(declared) or known_type(topic)
    if found is not None:
        return found
    if not declared:
        raise _Unmapped("missing_field", "the record does not say which event it is: event_type")
    return declared


def _reject(one: Arrived, code: str, detail: str) -> Reject:
    return Reject(one.topic, one.partition, one.offset, code, detail[:1_000], one.key, one.value)

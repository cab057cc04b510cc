"""Records from people and files: topic, key and check before they are sent."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from agents.coordinator.rules.bounds import KEY_KINDS, unfit
from agents.tools.encoder import encoder
from schemas.errors import UsageError
from schemas.records import codec
from schemas.records.lifecycle import Definition, kind_of
from schemas.records.misspelt import look
from schemas.records.registry import own_id, raw, schema_id
from schemas.words.nearest import hint
from streams.kafka.remote_registry import registry_of
from streams.kafka.topic_specs import EVENTS
from streams.settings import Settings

__all__ = [
    "TYPES",
    "Ids",
    "Kind",
    "ids_of",
    "kind_of_record",
    "plain_ids",
    "ready",
    "ready_record",
    "refuse_unknown_fields",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of record: the codec's name for it, its topic without the prefix, its key."""

    name: str
    topic: str
    key: str

    def key_of(self, record: Mapping[str, Any]) -> bytes:
        """The Kafka key of a record."""
        return str(record[self.key]).encode()


Ids = Callable[[Kind], int]
"""Gives the schema id that values of a kind carry."""

_KINDS = {
    **{event: Kind(event, f"interactions.{event}", "user_id") for event in EVENTS},
    "definition": Kind("definition", "catalog", "key"),
    "user": Kind("user", "users", "user_id"),
}
TYPES = tuple(_KINDS)


def kind_of_record(name: str) -> Kind:
    """The kind of that name, in any case. Raises UsageError for another word."""
    kind = _KINDS.get(name.lower())
    if kind is None:
        raise UsageError(f"{name!r} is no type of record", remedy=hint(name, TYPES))
    return kind


def refuse_unknown_fields(kind: Kind, record: Mapping[str, Any]) -> None:
    """Raise UsageError if a record typed by hand has a field that its schema does not have.

    The codec ignores such fields, because producers may send more than emberline reads; but a
    person who types one has probably misspelt another. An enum symbol that does not exist is
    refused too, because it would be read as the default.
    """
    declared = {name: value for name, value in record.items() if name != "type"}
    schema = raw(kind.name)
    _refuse_unknown(kind.name, schema, declared, dict(_named(schema)))
    if kind.name == "definition":
        _refuse_other_kinds(record)


def _refuse_other_kinds(record: Mapping[str, Any]) -> None:
    key, kind = str(record.get("key")), record.get("kind")
    if kind and str(kind) != kind_of(key):
        raise UsageError(
            f"kind is {str(kind)[:80]!r}, the key {key[:80]!r} says another",
            remedy=hint(str(kind), KEY_KINDS),
        )
    references = record.get("references")
    for name in references if isinstance(references, list) else ():
        if kind_of(str(name)) not in KEY_KINDS or str(name).endswith(":"):
            raise UsageError(
                f"references: {str(name)[:80]!r} names nothing",
                remedy=hint(f"{name}"[:80], [f"{one}:ID" for one in KEY_KINDS]),
            )


def _refuse_unknown(what: str, schema: Any, value: Any, named: Mapping[str, Any]) -> None:
    if isinstance(schema, list):
        schema = next(branch for branch in schema if branch != "null")
    if isinstance(schema, dict) and isinstance(schema.get("type"), dict | list):
        schema = schema["type"]
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    if not isinstance(schema, dict) or value is None:
        return
    if schema["type"] == "record" and isinstance(value, Mapping):
        fields = {field["name"]: field["type"] for field in schema["fields"]}
        for name, part in value.items():
            if name not in fields:
                remedy = hint(name, fields, before="It has")
                raise UsageError(f"A {what} has no field {name[:80]!r}", remedy=remedy)
            _refuse_unknown(name, fields[name], part, named)
    elif schema["type"] == "array" and isinstance(value, list):
        for part in value:
            _refuse_unknown(what, schema["items"], part, named)
    elif schema["type"] == "enum" and str(value).upper() not in schema["symbols"]:
        remedy = hint(str(value), schema["symbols"])
        raise UsageError(f"{str(value)[:80]!r} is no {what}", remedy=remedy)


def _named(schema: Any) -> Iterator[tuple[str, Any]]:
    """The named types of a schema, which are defined once and may then be used by name."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _named(branch)
    elif isinstance(schema, dict):
        if "name" in schema and "type" in schema:
            yield schema["name"], schema
        for part in ("type", "items"):
            yield from _named(schema.get(part))
        for field in schema.get("fields", ()):
            yield from _named(field["type"])


def plain_ids(kind: Kind) -> int:
    """The ids of registry.json."""
    return schema_id(kind.name)


def ids_of(settings: Settings) -> Ids:
    """The schema ids of records for a prefix: those of its schema registry; without one, our own
    high ids, because the workers may have a registry.

    Our schemas are registered there when the first record of a kind is made; this may raise
    Recoverable or Fatal.
    """
    remote = registry_of(settings)
    if remote is None:
        return lambda kind: own_id(kind.name)
    return lambda kind: remote.id_of(kind.name, settings.prefix + kind.topic)


def ready(kind: Kind, text: bytes, ids: Ids = plain_ids) -> tuple[bytes, bytes]:
    """(key, Avro value) of one record given as a JSON object. Raises Undecodable."""
    record = codec.decode(text, kind.name)
    if kind.name == "definition" and (found := unfit(Definition.from_record(record))):
        raise codec.Undecodable(*found)
    return kind.key_of(record), _writer(kind, ids(kind))(record)


def ready_record(
    kind: Kind, record: Mapping[str, Any], ids: Ids = plain_ids
) -> tuple[bytes, bytes]:
    """(key, Avro value) of one record of an Avro file, with its times in milliseconds.

    Fields that emberline does not read are removed; symbols may be in any case. Raises
    schemas.records.codec.Unencodable if a value does not fit our schema, Undecodable for a
    definition with a misspelt field.
    """
    symbols = _symbols(kind.name)
    names = list(symbols)
    look(kind.name, {name: value for name, value in record.items() if name != "type"}, names)
    plain = {name: _plain(record[name], symbols[name]) for name in names if name in record}
    if kind.key not in plain:
        raise codec.Unencodable(kind.name, f"{kind.key} is missing")
    return kind.key_of(plain), codec.encode(kind.name, plain, ids(kind))


def _writer(kind: Kind, schema_id: int) -> Callable[[Mapping[str, Any]], bytes]:
    if kind.name not in EVENTS:
        return lambda record: codec.encode(kind.name, record, schema_id)
    encode = encoder(kind.name, schema_id).encode
    return lambda record: encode({name: (value,) for name, value in record.items()})[0]


@cache
def _symbols(name: str) -> dict[str, dict[str, str]]:
    """Field -> its enum's symbols by their lower-case form; empty for other types."""
    found = {}
    for field in raw(name)["fields"]:
        kind = field["type"]
        is_enum = isinstance(kind, dict) and kind["type"] == "enum"
        found[field["name"]] = {one.casefold(): one for one in kind["symbols"]} if is_enum else {}
    return found


def _plain(value: Any, symbols: Mapping[str, str]) -> Any:
    """An object becomes its JSON text, a symbol gets our case."""
    if symbols and isinstance(value, str):
        return symbols.get(value.casefold(), value)
    return json.dumps(value) if isinstance(value, Mapping) else value

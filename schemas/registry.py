"""The Avro schemas of all records, their names and their ids.

`registry.json` says which file an id stands for; the file's stem is the record's name. Bytes
outlive releases, so an id never changes its meaning: a changed schema gets a new id, and the
old id goes on pointing at the file of the release it came with. The highest id of a name is
the one that is written.
"""

import json
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Protocol

import fastavro

from schemas.errors import EmberlineError

__all__ = [
    "FILES",
    "NAMES",
    "REGISTRY",
    "FileSource",
    "SchemaSource",
    "UnknownSchema",
    "aligned",
    "by_id",
    "layout",
    "raw",
    "record_name",
    "schema",
    "schema_id",
    "without",
]

Schema = dict[str, Any]

_FOLDER = files("schemas")

REGISTRY: Mapping[int, str] = MappingProxyType(
    {int(i): path for i, path in json.loads((_FOLDER / "registry.json").read_text()).items()}
)
"""Schema id -> file, relative to this package."""

_NAME_OF = {i: PurePosixPath(path).stem for i, path in REGISTRY.items()}
_IDS = {name: max(i for i in _NAME_OF if _NAME_OF[i] == name) for name in _NAME_OF.values()}

NAMES = tuple(_IDS)
"""The names of all records."""


class UnknownSchema(EmberlineError):
    """No schema has this id (an int) or this name (a str), kept as `.schema`."""

    def __init__(self, schema: int | str, reason: str = "not in the registry") -> None:
        super().__init__(
            f"schema {schema}: {reason}",
            remedy="Use an id of schemas/registry.json, or set the schema registry that knows it",
        )
        self.schema = schema
        self.reason = reason


class SchemaSource(Protocol):
    """Where the schemas of writers are found by id. Hashable, by identity."""

    def __hash__(self) -> int: ...

    def writer(self, schema_id: int) -> Schema:
        """Return the JSON form of a schema. Callers share it and must not change it.

        Raises UnknownSchema where there is certainly none, and Recoverable where that cannot
        be told now.
        """
        ...


class FileSource:
    """The schemas of this package."""

    def writer(self, schema_id: int) -> Schema:
        return _load(_file(schema_id))


FILES = FileSource()


def schema_id(name: str) -> int:
    """Return the id that records of this name are written with."""
    try:
        return _IDS[name]
    except KeyError:
        raise UnknownSchema(name) from None


def raw(name: str) -> Schema:
    """Return the JSON form of a record's schema. Shared: do not change it."""
    return _load(REGISTRY[schema_id(name)])


@cache
def schema(name: str) -> Schema:
    """Return a record's schema as fastavro wants it, parsed once."""
    parsed = fastavro.parse_schema(raw(name))
    if not isinstance(parsed, dict):
        raise UnknownSchema(name, "not a record")
    return parsed


def by_id(schema_id: int) -> tuple[str, Schema]:
    """Return (name, parsed schema) of an id, which may be one of an earlier release."""
    parsed = fastavro.parse_schema(FILES.writer(schema_id))
    if not isinstance(parsed, dict):
        raise UnknownSchema(schema_id, "not a record")
    return _NAME_OF[schema_id], parsed


@cache
def record_name(avro_name: str) -> str | None:
    """Return our name of a record by its Avro name, namespace or not: ExpiringSoon, or None."""
    short = avro_name.rpartition(".")[2]
    return next((name for name in _IDS if raw(name)["name"] == short), None)


def layout(schema: Any) -> Any:
    """Return only what decides the bytes of a schema: times are plain longs, no defaults.

    What a reader that resolves nothing needs. Polars refuses a field with an enum and a
    default (avro-error: OutOfSpec), so hand it this.
    """
    return without(schema, {"logicalType", "doc", "default", "aliases"})


def aligned(writer: Schema, reader: Schema) -> Schema:
    """Return the writer's layout with the symbols of its enums in the reader's case.

    Producers write `email` for EMAIL; Avro alone would take that for the default, in silence.
    Raises UnknownSchema where two symbols differ in nothing but their case.
    """
    known = {field["name"]: field for field in layout(reader)["fields"]}
    known |= {
        alias: known[field["name"]]
        for field in reader["fields"]
        for alias in field.get("aliases", ())
    }
    bare: Schema = layout(writer)
    fields = [
        {**field, "type": _in_case(field["type"], known[field["name"]]["type"])}
        if field["name"] in known
        else field
        for field in bare["fields"]
    ]
    return bare | {"fields": fields}


def _in_case(written: Any, read: Any) -> Any:
    if isinstance(written, list):
        return [_in_case(branch, read) for branch in written]
    if not isinstance(written, dict) or written.get("type") != "enum":
        return written
    symbols = [
        symbol
        for branch in (read if isinstance(read, list) else [read])
        if isinstance(branch, dict) and branch.get("type") == "enum"
        for symbol in branch["symbols"]
    ]
    ours = {symbol.casefold(): symbol for symbol in symbols}
    renamed = [ours.get(symbol.casefold(), symbol) for symbol in written["symbols"]]
    if len(set(renamed)) < len(renamed):
        raise UnknownSchema(str(written.get("name")), "symbols that differ in their case only")
    return {**written, "symbols": renamed}


def without(schema: Any, keys: Collection[str]) -> Any:
    """Return a copy of a JSON schema without these attributes, at any depth."""
    if isinstance(schema, list):
        return [without(branch, keys) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: without(value, keys) if key in ("type", "items", "values", "fields") else value
        for key, value in schema.items()
        if key not in keys
    }
    return kept["type"] if list(kept) == ["type"] else kept


def _file(schema_id: int) -> str:
    try:
        return REGISTRY[schema_id]
    except KeyError:
        raise UnknownSchema(schema_id) from None


@cache
def _load(path: str) -> Schema:
    loaded: Schema = json.loads((_FOLDER / path).read_text())
    return loaded

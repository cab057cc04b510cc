"""The Avro schemas of all records, their names and their ids.

`registry.json` gives the file of each id; the file's stem is the record's name. Bytes outlive
releases, so an id never changes its meaning: a changed schema gets a new id, and the old id keeps
the file of the release that introduced it. Records are written with the highest id of their name
below `OWN`.

A schema registry also counts from 1. So each schema has a second id there, `OWN` higher, in a range
where no registry assigns ids. `send` and `import` write these ids without a registry, and workers
understand them with any setting.
"""

import json
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Protocol

import fastavro

from schemas.errors import EmberlineError

__all__ = [
    "FILES",
    "NAMES",
    "OWN",
    "OWN_IDS",
    "REGISTRY",
    "FileSource",
    "SchemaSource",
    "UnknownSchema",
    "aligned",
    "by_id",
    "layout",
    "own_id",
    "raw",
    "record_name",
    "schema",
    "schema_id",
    "time_units",
    "without",
]

Schema = dict[str, Any]

_FOLDER = files("schemas")

REGISTRY: Mapping[int, str] = MappingProxyType(
    {int(i): path for i, path in json.loads((_FOLDER / "registry.json").read_text()).items()}
)
"""Schema id -> file, relative to this package."""

OWN = 0x454D4200
"""EMB and a zero: added to an id it is one that no registry gives out."""

OWN_IDS = frozenset(i for i in REGISTRY if i > OWN)

_NAME_OF = {i: PurePosixPath(path).stem for i, path in REGISTRY.items()}
_IDS = {
    name: max(i for i in _NAME_OF if _NAME_OF[i] == name and i < OWN) for name in _NAME_OF.values()
}

NAMES = tuple(_IDS)
"""The names of all records."""


class UnknownSchema(EmberlineError):
    """No Avro schema has this id (an int) or this name (a str), kept as `.schema`.

    `schema_type` is PROTOBUF or JSON if a schema registry has such a schema under the id.
    """

    def __init__(
        self,
        schema: int | str,
        reason: str = "not in the registry",
        schema_type: str = "",
    ) -> None:
        super().__init__(
            f"schema {schema}: {reason}",
            remedy="Use an id of schemas/registry.json, or set the schema registry that knows it",
        )
        self.schema = schema
        self.reason = reason
        self.schema_type = schema_type


class SchemaSource(Protocol):
    """A source of writers' schemas by id. Hashable, by identity."""

    def __hash__(self) -> int: ...

    def writer(self, schema_id: int) -> Schema:
        """Return the JSON form of a schema. Callers share it and must not change it.

        Raises UnknownSchema if the id certainly has no schema, and Recoverable if this is unknown
        at the moment.
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


def own_id(name: str) -> int:
    """Return the id of this name that no schema registry assigns."""
    return OWN + schema_id(name)


def time_units(schema: Schema) -> dict[str, int]:
    """For the time fields of a schema: how many of the field's units make a millisecond, by
    field.
    """
    found: dict[str, int] = {}
    for field in schema.get("fields", ()):
        kind = field["type"]
        for branch in kind if isinstance(kind, list) else [kind]:
            logical = branch.get("logicalType") if isinstance(branch, dict) else None
            if isinstance(logical, str) and logical in _PER_MILLISECOND:
                found[field["name"]] = _PER_MILLISECOND[logical]
    return found


_PER_MILLISECOND = {
    f"{clock}timestamp-{unit}": number
    for clock in ("", "local-")
    for unit, number in (("millis", 1), ("micros", 1_000), ("nanos", 1_000_000))
}


def raw(name: str) -> Schema:
    """Return the JSON form of a record's schema. Shared: do not change it."""
    return _load(REGISTRY[schema_id(name)])


@cache
def schema(name: str) -> Schema:
    """Return a record's schema as parsed by fastavro, cached."""
    parsed = fastavro.parse_schema(raw(name))
    if not isinstance(parsed, dict):
        raise UnknownSchema(name, "not a record")
    return parsed


def by_id(schema_id: int) -> tuple[str, Schema]:
    """Return (name, parsed schema) of an id; the schema may be of an earlier release."""
    parsed = fastavro.parse_schema(FILES.writer(schema_id))
    if not isinstance(parsed, dict):
        raise UnknownSchema(schema_id, "not a record")
    return _NAME_OF[schema_id], parsed


@lru_cache(maxsize=1024)
def record_name(avro_name: str) -> str | None:
    """Return our name of a record by its Avro name, with or without namespace (ExpiringSoon), or
    None.
    """
    short = avro_name.rpartition(".")[2]
    return next((name for name in _IDS if raw(name)["name"] == short), None)


def layout(schema: Any) -> Any:
    """Return only the parts of a schema that determine the bytes: times are plain longs, no
    defaults.

    This is enough for a reader that resolves nothing. Polars refuses a field with an enum and a
    default (avro-error: OutOfSpec), so pass it this form.
    """
    return without(schema, {"logicalType", "doc", "default", "aliases"})


def aligned(writer: Schema, reader: Schema) -> Schema:
    """Return the writer's layout with its enum symbols in the reader's case.

    Producers write `email` for EMAIL; plain Avro would silently read the default instead. Raises
    UnknownSchema if two symbols differ only in case.
    """
    known = {field["name"]: field for field in layout(reader)["fields"]}
    known |= {
        alias: known[field["name"]]
        for field in reader["fields"]
        for alias in field.get("aliases", ())
    }
    wanted: dict[str, list[str]] = {}
    for field in layout(writer)["fields"]:
        symbols = _symbols(known[field["name"]]["type"]) if field["name"] in known else []
        for branch in field["type"] if isinstance(field["type"], list) else [field["type"]]:
            name = branch.get("name") if isinstance(branch, dict) else branch
            if symbols and isinstance(name, str):
                wanted[name.rpartition(".")[2]] = symbols
    found: Schema = _renamed(layout(writer), wanted)
    return found


def _symbols(kind: Any) -> list[str]:
    return [
        symbol
        for branch in (kind if isinstance(kind, list) else [kind])
        if isinstance(branch, dict) and branch.get("type") == "enum"
        for symbol in branch["symbols"]
    ]


def _renamed(schema: Any, wanted: Mapping[str, list[str]]) -> Any:
    """A copy with the enum symbols of these names in the required case."""
    if isinstance(schema, list):
        return [_renamed(branch, wanted) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    ours = wanted.get(str(schema.get("name")).rpartition(".")[2], ())
    if schema.get("type") == "enum":
        in_case = {symbol.casefold(): symbol for symbol in ours}
        renamed = [in_case.get(symbol.casefold(), symbol) for symbol in schema["symbols"]]
        if len(set(renamed)) < len(renamed):
            raise UnknownSchema(str(schema.get("name")), "symbols that differ in case only")
        return {**schema, "symbols": renamed}
    parts = {part: _renamed(schema[part], wanted)
             for part in ("type", "items", "values", "fields") if part in schema}  # fmt: skip
    return {**schema, **parts}


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

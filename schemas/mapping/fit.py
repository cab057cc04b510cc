"""Whether the mapping of a topic fits a producer's schema: at the start, and for each schema id."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.mapping.convert import ANY, columns_of
from schemas.mapping.field_types import field_types, is_enum
from schemas.mapping.producer import ProducerColumn, ProducerSchema
from schemas.mapping.rule import Constant, From
from schemas.mapping.topics import TopicMapping
from schemas.words.nearest import hint

__all__ = ["Mismatch", "json_mismatches", "mismatches"]

_TEXTS = frozenset({"string", "int", "long", "boolean"})
_NUMBERS = frozenset({"int", "long"})
_FLOATS = frozenset({"float", "double"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Our field, what does not fit, and what to do."""

    field: str
    what: str
    remedy: str


def mismatches(mapping: TopicMapping, schema: ProducerSchema) -> list[Mismatch]:
    """What the mapping says that is not so in records of this schema."""
    return [one for name in mapping.rule.fields for one in _of_field(mapping, schema, name)] + [
        Mismatch(name, f"{schema.name} has no field {alias.column!r}", _near(alias.column, schema))
        for name, alias in mapping.aliases.items()
        if not any(f"{path}.".startswith(f"{alias.column}.") for path in schema.columns)
    ]


def json_mismatches(mapping: TopicMapping) -> list[Mismatch]:
    """What the mapping lacks to read JSON, which says of no value what it means."""
    value = mapping.rule.fields.get("time")
    if not mapping.json or not isinstance(value, From) or value.time is None:
        return []
    if value.time.unit or value.time.format:
        return []
    remedy = 'Write unit = "s" (ms, us, ns), or a format; or json = false'
    return [Mismatch("time", "time: how is the time written in JSON?", remedy)]


def _of_field(mapping: TopicMapping, schema: ProducerSchema, name: str) -> Iterator[Mismatch]:
    value = mapping.rule.fields[name]
    for path in columns_of(value):
        if path not in schema.columns:
            yield Mismatch(name, f"{schema.name} has no field {path!r}", _near(path, schema))
            return
        column = schema.columns[path]
        if not isinstance(value, From):
            if not _is_one(column.type, _TEXTS):
                yield _another(name, column, "text", "Make the hash from other fields")
            continue
        kind = field_types(mapping.rule.kind)[name]
        if value.time is not None:
            yield from _time(name, value, column)
        elif isinstance(kind, pl.Enum) and not value.values and is_enum(column.type):
            yield from _symbols(name, column, kind)
        elif value.values and is_enum(column.type):
            yield from _replaced(name, column, value.values)
        elif not _is_one(column.type, _NUMBERS | {"string"} if kind.is_integer() else _TEXTS):
            yield _another(name, column, "number" if kind.is_integer() else "text", "")


def _near(path: str, schema: ProducerSchema) -> str:
    return hint(path, list(schema.columns))


def _another(name: str, column: ProducerColumn, wanted: str, remedy: str) -> Mismatch:
    remedy = remedy or f"Name a field that is a {wanted}, or a part of it: record.field"
    return Mismatch(name, f"{column.path} is {_said(column.type)}, which gives no {wanted}", remedy)


def _time(name: str, value: From, column: ProducerColumn) -> Iterator[Mismatch]:
    form = value.time
    assert form is not None
    if form.format:
        if not _is_one(column.type, {"string"}):
            yield _another(name, column, "text with a format", 'Write unit = "ms" (s, us, ns)')
    elif not _is_one(column.type, _NUMBERS | _FLOATS | {"string"}):
        yield _another(name, column, "number of a time", "")
    elif not form.unit and not column.unit:
        remedy = f'Write {name} = {{ column = "{column.path}", unit = "ms" }} (s, us, ns)'
        yield Mismatch(name, f"the schema does not say how {column.path} is written", remedy)
    elif form.unit and column.unit and form.unit != column.unit:
        what = f"{column.path} is in {column.unit} by its schema, and in {form.unit} by the mapping"
        yield Mismatch(name, what, f'Write unit = "{column.unit}", or no unit')


def _symbols(name: str, column: ProducerColumn, kind: pl.Enum) -> Iterator[Mismatch]:
    known = set(kind.categories)
    if other := [one for one in column.type["symbols"] if one.upper() not in known]:
        remedy = f'Say what they are: values = {{ {other[0]} = "OTHER" }}, or "*" for all others'
        yield Mismatch(name, f"{column.path} has values that no {name} has: {_few(other)}", remedy)


def _replaced(
    name: str, column: ProducerColumn, values: "dict[str, Constant] | Any"
) -> Iterator[Mismatch]:
    symbols = column.type["symbols"]
    for one in values:
        if one != ANY and one not in symbols:
            yield Mismatch(name, f"{column.path} has no value {one!r}", hint(one, symbols))
    if ANY not in values and (other := [one for one in symbols if one not in values]):
        yield Mismatch(
            name,
            f"the mapping does not say what {_few(other)} of {column.path} are",
            'Add them to values, or "*" for all others',
        )


def _is_one(kind: Any, allowed: "frozenset[str] | set[str]") -> bool:
    if isinstance(kind, list):
        return all(_is_one(branch, allowed | {"null"}) for branch in kind)
    return (is_enum(kind) and "string" in allowed) or (isinstance(kind, str) and kind in allowed)


def _said(kind: Any) -> str:
    if isinstance(kind, list):
        return "a union"
    name = kind.get("type") if isinstance(kind, dict) else kind
    return f"of type {name}"


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, .." if len(names) > 5 else shown

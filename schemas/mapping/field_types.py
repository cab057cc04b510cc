"""The columns of our records: what each field is as a Polars type."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import polars as pl

from schemas.records import registry

__all__ = [
    "WIRE_TYPES",
    "column_type",
    "event_types",
    "field_types",
    "is_enum",
    "required",
    "split",
]

WIRE_TYPES: Mapping[str, type[pl.DataType]] = {
    "string": pl.String,
    "long": pl.Int64,
    "int": pl.Int32,
    "boolean": pl.Boolean,
    "float": pl.Float32,
    "double": pl.Float64,
    "bytes": pl.Binary,
}


@cache
def event_types(event: str) -> Mapping[str, pl.DataType]:
    """The columns of an event's frame, by field. Raises `UnknownSchema`."""
    fields = registry.layout(registry.raw(event))["fields"]
    return {field["name"]: column_type(split(field["type"])[0]) for field in fields}


def field_types(kind: str) -> Mapping[str, pl.DataType]:
    """The fields of a kind of record that a mapping may fill, and their types."""
    if kind == "user":
        texts = ("user_id", "external_user_id", "merged_into")
        return dict.fromkeys(texts, pl.String())
    return event_types(kind)


def required(kind: str) -> list[str]:
    """The fields of a kind of record without which there is none."""
    fields = registry.raw(kind)["fields"]
    return [one["name"] for one in fields if "default" not in one]


def split(kind: Any) -> tuple[Any, list[Any]]:
    """The type without null, and the union around it, if there is one."""
    if not isinstance(kind, list):
        return kind, []
    others = [branch for branch in kind if branch != "null"]
    return (others[0], kind) if len(others) == 1 and len(kind) == 2 else (None, kind)


def is_enum(kind: Any) -> bool:
    """Whether a type of a schema is an enum."""
    return isinstance(kind, dict) and kind.get("type") == "enum"


def column_type(base: Any) -> pl.DataType:
    """The column of a type without null."""
    return pl.Enum(base["symbols"]) if is_enum(base) else WIRE_TYPES[base]()

"""A producer's Avro schema as the columns that a mapping can name.

The fields of a record within a record follow each other in the bytes as if they stood in the outer
one. So they are columns too (`customer.number`), and a batch of such records is still read whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.mapping.field_types import WIRE_TYPES, is_enum, split

__all__ = ["ProducerColumn", "ProducerSchema", "full_name", "producer_schema"]

_UNITS = {"millis": "ms", "micros": "us", "nanos": "ns"}
_DEPTH = 40


@dataclass(frozen=True, slots=True)
class ProducerColumn:
    """One field. `type` is its type without null: the name of a primitive, or the schema of
    another type. `unit` is that of a time whose logical type says it.

    `null` is the place of null in its union, None without one.
    """

    path: str
    type: Any
    null: int | None = None
    unit: str = ""

    @property
    def wire(self) -> str | None:
        """The primitive type of its bytes, for Polars; None if Polars does not read it."""
        name = "int" if is_enum(self.type) else self.type
        return name if isinstance(name, str) and name in WIRE_TYPES else None

    @property
    def column_type(self) -> pl.DataType:
        """As a column; an enum is its text."""
        return pl.String() if is_enum(self.type) else WIRE_TYPES[self.wire or "bytes"]()


@dataclass(slots=True)
class ProducerSchema:
    """`columns` are all fields by path. `whole` says whether batches are read whole: the columns
    are then in the order of the bytes.
    """

    name: str
    columns: dict[str, ProducerColumn] = field(default_factory=dict)
    whole: bool = True


def full_name(schema: Mapping[str, Any]) -> str:
    """The name of a record with its namespace."""
    name, namespace = str(schema.get("name")), schema.get("namespace")
    return f"{namespace}.{name}" if namespace and "." not in name else name


def producer_schema(schema: Mapping[str, Any]) -> ProducerSchema:
    """The columns of a record's schema, which schemas.records.foreign has checked."""
    found = ProducerSchema(full_name(schema))
    for column, whole in _columns(schema, "", {}, 0):
        found.whole = found.whole and whole
        found.columns[column.path] = column
    return found


def _columns(
    record: Mapping[str, Any], prefix: str, named: dict[str, Any], depth: int
) -> Iterator[tuple[ProducerColumn, bool]]:
    """(column, whether it can be read in whole batches)."""
    for one in record["fields"]:
        path = prefix + one["name"]
        kind, union = split(one["type"])
        null = union.index("null") if "null" in union else None
        kind, unit = _resolved(kind, named)
        if isinstance(kind, dict) and kind.get("type") == "record" and depth < _DEPTH:
            # a null record has no fields in the bytes
            for column, whole in _columns(kind, f"{path}.", named, depth + 1):
                yield column, whole and not union
            continue
        kind = union if kind is None else kind
        column = ProducerColumn(path, kind, null, unit)
        yield column, column.wire is not None


def _resolved(kind: Any, named: dict[str, Any]) -> tuple[Any, str]:
    """(the type without attributes that do not count, the unit of a time)."""
    if isinstance(kind, str):
        return named.get(kind.rpartition(".")[2], kind), ""
    if not isinstance(kind, dict):
        return kind, ""
    if isinstance(kind.get("type"), str) and kind["type"] in WIRE_TYPES:
        logical = str(kind.get("logicalType", "")).removeprefix("local-")
        head, _, tail = logical.rpartition("-")
        return kind["type"], _UNITS.get(tail, "") if head == "timestamp" else ""
    if isinstance(kind.get("type"), dict | list):
        return _resolved(kind["type"], named)
    if isinstance(kind.get("name"), str):
        named[kind["name"].rpartition(".")[2]] = kind
    return kind, ""

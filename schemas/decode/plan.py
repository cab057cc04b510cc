"""The plan by which bytes of one writer's schema become our columns.

Polars reads records of primitives and of unions of null with a primitive; enums are read as their
position. Records of any other schema are read one by one, by schemas.records.codec.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as member
from functools import lru_cache
from typing import Any

import polars as pl

from schemas.mapping.field_types import WIRE_TYPES, column_type, is_enum, split
from schemas.records import registry
from schemas.records.registry import SchemaSource, UnknownSchema
from schemas.records.varint import varint

__all__ = [
    "SYNC",
    "UNREADABLE",
    "DecodePlan",
    "Fault",
    "container_header",
    "plan",
]

SYNC = b"\x00" * 16
UNREADABLE = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OSError,
    ValueError,
    OverflowError,
)
"""What Polars raises on bytes that are not laid out as they should be. Its panic derives from
BaseException alone; an OSError is a read beyond the end of a block.
"""
# What a zero of each type takes; everything else takes one zero byte.
_ZERO_BYTES = {"float": 4, "double": 8}


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a field cannot be made from a record, the code of the reject, and its detail."""

    bad: pl.Expr
    code: str
    detail: pl.Expr


@dataclass(frozen=True, slots=True, eq=False)
class DecodePlan:
    """`wire` are the writer's fields as Polars reads them, renamed to their positions. `columns`
    gives each of our fields as an expression, and `needs` the columns that the expression uses.
    `zeros` is a record of zeros, which shows whether a block ended at the correct position.
    `accepts` has, by column, the allowed positions of an enum.

    Where a mapping makes our fields, `faults` has what may be wrong with each, and `names` the
    producer's names of the columns.
    """

    wire: tuple[Mapping[str, Any], ...]
    columns: Mapping[str, pl.Expr]
    needs: Mapping[str, tuple[str, ...]]
    zeros: bytes
    accepts: Mapping[str, Collection[int]]
    faults: Mapping[str, tuple[Fault, ...]] = member(default_factory=dict)
    names: Mapping[str, str] = member(default_factory=dict)

    def faults_of(self, fields: Collection[str]) -> list[Fault]:
        """What may be wrong with these fields."""
        return [fault for name in fields for fault in self.faults.get(name, ())]

    def told(self, fields: Collection[str]) -> list[pl.Expr]:
        """The columns `code` and `detail`: what is wrong with these fields of a record, null if
        nothing is.
        """
        code: pl.Expr = pl.lit(None, pl.String)
        detail: pl.Expr = pl.lit(None, pl.String)
        for fault in reversed(self.faults_of(fields)):
            code = pl.when(fault.bad).then(pl.lit(fault.code)).otherwise(code)
            detail = pl.when(fault.bad).then(fault.detail).otherwise(detail)
        return [code.alias("code"), detail.alias("detail")]


def plan(event: str, schema_id: int, source: SchemaSource) -> DecodePlan | None:
    """The plan for records of `event` written with `schema_id`, or None if there is none.

    None does not mean that the records are bad: schemas.records.codec decides that. Raises
    Recoverable if `source` does not answer.
    """
    try:
        return _plan(event, schema_id, source)
    except UnknownSchema:
        return None


@lru_cache(maxsize=256)
def _plan(event: str, schema_id: int, source: SchemaSource) -> DecodePlan | None:
    writer = source.writer(schema_id)
    if writer.get("type") != "record" or registry.record_name(writer["name"]) != event:
        return None
    written = registry.aligned(writer, registry.raw(event))["fields"]
    wire = []
    zeros = b""
    for position, field in enumerate(written):
        base, union = split(field["type"])
        name = "int" if is_enum(base) else base
        if not isinstance(name, str) or name not in WIRE_TYPES:
            return None
        kind = [name if branch != "null" else branch for branch in union] if union else name
        wire.append({"name": f"f{position}", "type": kind})
        null_first = bool(union) and union[0] == "null"
        zeros += (b"\x00" if union else b"") + (
            b"" if null_first else b"\x00" * _ZERO_BYTES.get(name, 1)
        )
    units, times = registry.time_units(writer), registry.time_units(registry.raw(event))
    columns: dict[str, pl.Expr] = {}
    needs: dict[str, tuple[str, ...]] = {}
    accepts: dict[str, Collection[int]] = {}
    for field in registry.raw(event)["fields"]:
        names = {field["name"], *field.get("aliases", ())}
        at = next((i for i, other in enumerate(written) if other["name"] in names), None)
        expression = _column(field, written[at]["type"] if at is not None else None, at)
        unit = 1 if at is None else units.get(written[at]["name"], 1)
        if unit > 1 and expression is not None and field["name"] in times:
            expression = expression.floordiv(unit)
        if expression is None:
            return None
        columns[field["name"]] = expression.alias(field["name"])
        needs[field["name"]] = () if at is None else (f"f{at}",)
        if at is not None and (known := _positions(field, written[at]["type"])) is not None:
            accepts[f"f{at}"] = known
    return DecodePlan(tuple(wire), columns, needs, zeros, accepts)


def container_header(fields: Iterable[Mapping[str, Any]]) -> bytes:
    """The header of an Avro container file of records with these fields; blocks follow it."""
    schema = json.dumps({"type": "record", "name": "R", "fields": list(fields)}).encode()
    metadata = ((b"avro.schema", schema), (b"avro.codec", b"null"))
    pairs = b"".join(varint(len(k)) + k + varint(len(v)) + v for k, v in metadata)
    return b"Obj\x01" + varint(len(metadata)) + pairs + varint(0) + SYNC


def _column(field: Mapping[str, Any], written: Any, at: int | None) -> pl.Expr | None:
    base, union = split(registry.layout(field["type"]))
    if at is None:
        return pl.lit(field["default"], column_type(base)) if "default" in field else None
    written_base, written_union = split(written)
    if written_union and not union:
        return None
    column = pl.col(f"f{at}")
    if not is_enum(base) or not is_enum(written_base):
        return column if base == written_base else None
    symbols = base["symbols"]
    position = _positions(field, written)
    if written_base["symbols"] == symbols:
        # Strict: a negative position is an error here, one too large in `to`.
        column = column.cast(pl.UInt8)
    else:
        column = column.replace_strict({**(position or {}), None: None}, return_dtype=pl.UInt8)
    return column.cat.to(pl.Enum(symbols))


def _positions(field: Mapping[str, Any], written: Any) -> dict[int, int] | None:
    """For each position of the writer's enum that is known or has a default, our own position."""
    base, _ = split(registry.layout(field["type"]))
    written_base, _ = split(written)
    if not is_enum(base) or not is_enum(written_base):
        return None
    default = field["type"].get("default") if isinstance(field["type"], dict) else None
    symbols = base["symbols"]
    return {
        index: symbols.index(known)
        for index, symbol in enumerate(written_base["symbols"])
        if (known := symbol if symbol in symbols else default) is not None
    }

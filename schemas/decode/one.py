"""Reads one body at a time with the same result as the block reader of Polars, but without panics.

The validity of a record must not depend on the way it is read, so this accepts exactly what a block
accepts: the index of a union that names none of its branches counts as the second branch; a boolean
is true if its byte is 1; a number with more bits than its type keeps the lowest bits; texts must be
UTF-8 if they are kept, and texts that are not read are skipped.
"""

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from schemas.decode.plan import DecodePlan
from schemas.mapping.field_types import WIRE_TYPES
from schemas.records.undecodable import Undecodable
from schemas.records.varint import read_varint

__all__ = ["BodyReader", "body_reader"]

_FLOATS = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}
_HALF_INT, _INT = 1 << 31, 1 << 32


class _Step(NamedTuple):
    """One field of the writer: its type; whether it may be null, and then whether null is the first
    branch; whether it is kept; the allowed numbers of an enum, None for other types.
    """

    name: str
    kind: str
    nullable: bool
    null_first: bool
    kept: bool
    accepts: Collection[int] | None


@dataclass(frozen=True, slots=True, eq=False)
class BodyReader:
    """Reads bodies of one writer's schema; `types` are the columns of the resulting rows."""

    steps: Sequence[_Step]
    types: Mapping[str, type[pl.DataType]]
    columns: Sequence[pl.Expr]

    def row(self, data: bytes, at: int) -> tuple[object, ...]:
        """The values of the body that begins at `at` and ends at the end of `data`.

        Raises `Undecodable`.
        """
        values: list[object] = []
        name = ""
        try:
            for step in self.steps:
                name = step.name
                value, at = _value(step, data, at)
                if step.kept:
                    values.append(value)
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise Undecodable("undecodable", f"{name}: {_why(error)}") from error
        if at != len(data):
            raise Undecodable("undecodable", f"{len(data) - at} bytes after the record")
        return tuple(values)

    def frame(self, rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
        """A frame of our fields, from rows that `row` returned. If the plan has faults, `code` and
        `detail` follow.
        """
        columns = zip(*rows, strict=True) if rows else ([] for _ in self.types)
        pairs = zip(self.types.items(), columns, strict=True)
        wire = pl.DataFrame([pl.Series(name, values, kind) for (name, kind), values in pairs])
        if not self.types:
            wire = pl.DataFrame({"": pl.repeat(0, len(rows), eager=True)})
        return wire.select(pl.repeat(0, pl.len()).alias(""), *self.columns).drop("")


def body_reader(plan: DecodePlan, fields: Collection[str]) -> BodyReader:
    """The reader of the fields named, for bodies of one plan."""
    needed = {need for name in fields for need in plan.needs[name]}
    names = {need: name for name, needs in plan.needs.items() for need in needs}
    names |= plan.names
    steps: list[_Step] = []
    types: dict[str, type[pl.DataType]] = {}
    for field in plan.wire:
        name, kind = field["name"], field["type"]
        union = kind if isinstance(kind, list) else []
        base = next(branch for branch in union if branch != "null") if union else kind
        kept = name in needed
        if kept:
            types[name] = WIRE_TYPES[base]
        steps.append(
            _Step(
                names.get(name) or name,
                base,
                bool(union),
                bool(union) and union[0] == "null",
                kept,
                plan.accepts.get(name) if kept else None,
            )
        )
    columns = [plan.columns[name] for name in fields]
    return BodyReader(steps, types, columns + (plan.told(fields) if plan.faults else []))


def _value(step: _Step, data: bytes, at: int) -> tuple[object, int]:
    if step.nullable:
        index, at = read_varint(data, at)
        if step.null_first == (index == 0):
            return None, at
    if step.kind in ("string", "bytes"):
        size, at = read_varint(data, at)
        end = at + size
        if size < 0 or end > len(data):
            raise IndexError
        if not step.kept:
            return None, end
        return (data[at:end].decode() if step.kind == "string" else data[at:end]), end
    if step.kind == "boolean":
        return data[at] == 1, at + 1
    if step.kind in _FLOATS:
        layout = _FLOATS[step.kind]
        return layout.unpack_from(data, at)[0], at + layout.size
    number, at = read_varint(data, at)
    if step.kind == "int":
        number = (number + _HALF_INT) % _INT - _HALF_INT
    if step.accepts is not None and number not in step.accepts:
        raise Undecodable("undecodable", f"{step.name}: there is no value {number}")
    return number, at


def _why(error: Exception) -> str:
    return "no UTF-8" if isinstance(error, UnicodeDecodeError) else "it ends too early"

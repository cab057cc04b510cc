"""Reads single records of other programs by the mapping of their topic: JSON, and Avro that Polars
does not read.

The bytes are read one by one, as all such records are; the fields are made of whole columns, by the
expressions that batches are read with.
"""

import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import fastavro
import polars as pl

from schemas.decode.mapped import fields_and_faults
from schemas.decode.plan import DecodePlan
from schemas.mapping.convert import columns_of
from schemas.mapping.frames import frame_of, value_at
from schemas.mapping.topics import TopicMapping
from schemas.records import strict_json
from schemas.records.undecodable import Undecodable

__all__ = ["avro_object", "json_object", "mapped_frame", "values_of"]

_SHOWN = 80
_ROW = "\0"
"""A column that no field is: without one, a frame of constants has no rows."""


def json_object(data: bytes) -> Mapping[str, Any]:
    """The object that a value of JSON is. Raises Undecodable."""
    try:
        found = strict_json.loads(data.decode())
    except ValueError as error:
        raise Undecodable("bad_json", str(error)[:200]) from error
    if not isinstance(found, dict):
        raise Undecodable("bad_json", "no JSON object")
    return found


def avro_object(data: bytes, at: int, parsed: Any) -> Mapping[str, Any]:
    """The record of a schema, which begins at `at` and ends where `data` does. Raises
    Undecodable.
    """
    body = io.BytesIO(data)
    body.seek(at)
    read: Any = fastavro.schemaless_reader
    try:
        found = read(body, parsed, None)
    # whatever garbage makes fastavro raise, the fact is the same
    except Exception as error:
        raise Undecodable("undecodable", f"{type(error).__name__}: {error!s:.200}") from error
    if body.tell() != len(data) or not isinstance(found, dict):
        raise Undecodable("undecodable", f"{len(data) - body.tell()} bytes after the record")
    return found


def values_of(
    mapping: TopicMapping, found: Mapping[str, Any], fields: Collection[str]
) -> dict[str, Any]:
    """The values from which these fields are made, by column. Raises Undecodable for one that no
    field can be made from.
    """
    values: dict[str, Any] = {}
    for name in fields:
        if name not in mapping.rule.fields:
            continue
        for path in columns_of(mapping.rule.fields[name]):
            value = value_at(found, path)
            if isinstance(value, dict | list | bytes):
                what = type(value).__name__.replace("dict", "object")
                raise Undecodable("unmapped", f"{name}: column {path} has a value of type {what}")
            if isinstance(value, str) and not strict_json.is_text(value):
                raise Undecodable("bad_json", f"{path}: {value[:_SHOWN]!r} is no text")
            values[path] = value
    return values


def mapped_frame(
    mapping: TopicMapping,
    rows: Sequence[Mapping[str, Any]],
    fields: Collection[str],
    units: Mapping[str, str],
) -> pl.DataFrame:
    """These fields of records with the values `rows`, and `code` and `detail`, as `told` of a
    DecodePlan gives them. `units` are those of times, by column.
    """
    columns = dict.fromkeys(path for row in rows for path in row)
    place = pl.Series(_ROW, range(len(rows)), pl.UInt32)
    frame = pl.DataFrame([place, *frame_of(rows, columns).get_columns()])
    made, faults = fields_and_faults(mapping.rule, frame.schema, units=units)
    plan = DecodePlan((), made, {}, b"", {}, faults)
    return frame.select(_ROW, *(made[name] for name in fields), *plan.told(fields)).drop(_ROW)

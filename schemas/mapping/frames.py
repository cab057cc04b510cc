"""Frames of foreign records that are no columns yet, for example of JSON."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from schemas.mapping.convert import text_of

__all__ = ["bare", "frame_of", "text_at", "value_at"]

_AVRO = frozenset({"string", "int", "long", "boolean", "double", "float", "bytes", "array", "map"})


def frame_of(records: Sequence[Mapping[str, Any]], columns: Collection[str]) -> pl.DataFrame:
    """A frame of these fields of records; a field of several types becomes text."""
    return pl.DataFrame([_series(name, [one.get(name) for one in records]) for name in columns])


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """The value of a field, or of a field of an object (`user.id`); None if there is none.

    A value of a union may be in Avro's own form of JSON: `{"string": "a"}`, `{"com.acme.V": ..}`.
    """
    if path in record:
        return bare(record[path])
    first, _, rest = path.partition(".")
    inner = record.get(first) if rest else None
    if isinstance(inner, Mapping) and rest.partition(".")[0] not in inner:
        inner = bare(inner)
    return value_at(inner, rest) if isinstance(inner, Mapping) else None


def bare(value: Any) -> Any:
    """A value out of Avro's form of JSON for unions."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, inner),) = value.items()
        if name in _AVRO or "." in name:
            return inner
    return value


def _series(name: str, values: list[Any]) -> pl.Series:
    types = {type(value) for value in values} - {type(None)}
    if types <= {str}:
        return pl.Series(name, values, pl.String)
    if types == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if types == {int} and all(value is None or abs(value) < 1 << 63 for value in values):
        return pl.Series(name, values, pl.Int64)
    return pl.Series(name, [None if v is None else text_at(v) for v in values], pl.String)


def text_at(value: Any) -> str:
    """A value that is no text as one: a number without a fraction that is zero."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return text_of(value)

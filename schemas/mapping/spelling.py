"""Reads the fields of a mapping, as they stand in a file of TOML. Wrong words are refused at once.

user_id = "uid"                                  # a column
id = { hash = ["uid", "at", "campaign"] }        # made from columns: equal values, equal ids
time = { column = "at", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin" }
campaign_id = { column = "campaign", absent = ["", "NULL"] }
channel = { value = "EMAIL" }                    # the same in every record
"""

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from schemas.mapping.field_types import field_types, required
from schemas.mapping.rule import From, Hashed, TimeFormat, Value
from schemas.words.nearest import hint

__all__ = ["BadMapping", "read_fields", "text_in"]

_PARTS = ("column", "values", "absent", "unit", "format", "zone", "value", "hash")
_UNITS = ("s", "ms", "us", "ns")
_ZONE = re.compile(r"[\w+-]{1,40}(/[\w+-]{1,40}){0,3}", re.ASCII)
"""zoneinfo imports a package for each part of a name."""


class BadMapping(Exception):
    """A mapping says something impossible: what, at which key, and what to do."""

    def __init__(self, what: str, remedy: str = "", key: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.remedy = remedy
        self.key = key

    def within(self, *key: str) -> "BadMapping":
        """The same, at a key below `key`."""
        return BadMapping(str(self), self.remedy, (*key, *self.key))


def read_fields(kind: str, fields: Any, *, timed: bool = True) -> dict[str, Value]:
    """The values of the fields of a `kind` of record. Raises BadMapping.

    Unless the time is `timed` by the mapping, the producer's schema may say how it is written.
    """
    if not isinstance(fields, dict) or not fields:
        raise BadMapping("no [fields]")
    types = field_types(kind)
    made: dict[str, Value] = {}
    for name, value in fields.items():
        if name not in types:
            raise BadMapping(f"a {kind} has no field {name!r}", hint(name, types), (name,))
        try:
            made[name] = _value(name, value, types[name], timed)
        except BadMapping as wrong:
            raise wrong.within(name) from wrong
    for name in required(kind):
        if name not in made:
            raise BadMapping(f"a {kind} needs the field {name}", f"Give {name} in [fields]")
    return made


def text_in(found: Mapping[str, Any], word: str, default: str) -> str:
    """The text that a table has under a word. Raises BadMapping for another type."""
    value = found.get(word, default)
    if not isinstance(value, str):
        raise BadMapping(f"{word} is no text", "Write a text in quotes", (word,))
    return value


def _value(name: str, value: Any, kind: pl.DataType, timed: bool) -> Value:
    if isinstance(value, str):
        value = {"column": value}
    if not isinstance(value, dict):
        raise BadMapping(f'{name}: give a column, or {{ value = "..." }}')
    for word in value:
        if word not in _PARTS:
            raise BadMapping(f"{name}: there is no {word!r}", hint(word, _PARTS))
    if "value" in value:
        return _constant(name, value["value"], kind)
    if "hash" in value:
        columns = value["hash"]
        if not isinstance(columns, list) or not columns:
            raise BadMapping(f"{name}: hash is no list of columns")
        if kind != pl.String:
            raise BadMapping(f"{name}: a hash is a text, and this field is none")
        return Hashed(tuple(map(str, columns)))
    absent, values = value.get("absent", [""]), value.get("values", {})
    if not isinstance(absent, list) or not isinstance(values, dict):
        raise BadMapping(f"{name}: absent is a list, values a table")
    checked = {key: _constant(name, one, kind) for key, one in values.items()}
    form = _time(name, value, timed) if name == "time" else None
    texts = frozenset(map(str, absent))
    return From(text_in(value, "column", "") or name, checked, texts, form)


def _constant(name: str, value: Any, kind: pl.DataType) -> str | int | bool:
    fits: dict[Any, type] = {pl.Boolean: bool, pl.Int32: int, pl.Int64: int}
    if not isinstance(value, str | int) or type(value) is not fits.get(type(kind), str):
        raise BadMapping(f"{name}: {value!r} has another type than the field")
    if isinstance(kind, pl.Enum) and value not in kind.categories:
        raise BadMapping(f"{name}: there is no {value!r}", hint(str(value), list(kind.categories)))
    if type(value) is int and not -(1 << 31) <= value < 1 << (31 if kind == pl.Int32 else 62):
        raise BadMapping(f"{name}: {value} is too large")
    return value


def _time(name: str, value: Mapping[str, Any], timed: bool) -> TimeFormat:
    unit, form = text_in(value, "unit", ""), text_in(value, "format", "")
    if (unit and form) or (timed and not unit and not form):
        raise BadMapping(
            f"{name}: how is the time written?", 'Write unit = "s" (ms, us, ns), or a format'
        )
    if unit and unit not in _UNITS:
        raise BadMapping(f"{name}: there is no unit {unit!r}", hint(unit, _UNITS))
    zone = text_in(value, "zone", "UTC")
    try:
        if not _ZONE.fullmatch(zone):
            raise ValueError(zone)
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadMapping(
            f"{name}: there is no zone {zone[:80]!r}", "Write one as Europe/Berlin"
        ) from error
    if form and form != "iso":
        try:
            pl.Series(["x"]).str.strptime(pl.Datetime("ms"), form, strict=False)
        except pl.exceptions.PolarsError as error:
            raise BadMapping(f"{name}: {form!r} is no format: {error!s:.100}") from error
    return TimeFormat(unit, form, zone)

"""Reads a mapping file (TOML): which column gives which field. Wrong words are refused at once.

record = "send"                                  # the kind of all records
delimiter = ";"                                  # of CSV; by default a comma
encoding = "utf-8"
columns = ["uid", "at", "campaign"]              # the names, if the file has no line of names

[fields]
user_id = "uid"                                  # a column
id = { hash = ["uid", "at", "campaign"] }        # made from columns: equal rows, equal ids
time = { column = "at", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin" }
campaign_id = { column = "campaign", absent = ["", "NULL"] }
channel = { value = "EMAIL" }                    # the same in every record
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from agents.tools.feed.apply import field_types, required
from agents.tools.feed.mapping import From, Hashed, Rule, TimeFormat, Value
from agents.tools.records import TYPES, kind_of_record
from schemas.errors import UsageError
from schemas.words.nearest import hint

__all__ = ["CsvMapping", "plain_mapping", "read_mapping"]

_WORDS = ("record", "delimiter", "encoding", "columns", "fields")
_PARTS = ("column", "values", "absent", "unit", "format", "zone", "value", "hash")
_UNITS = ("s", "ms", "us", "ns")


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """How CSV files are read. `columns` is empty if their first line has the names."""

    rule: Rule
    delimiter: str = ","
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    text: str = field(default="", repr=False)
    """Of the mapping file: another text is another import."""


def plain_mapping(kind: str) -> CsvMapping:
    """The mapping of files whose columns are named as the fields of `kind` are; times are in
    milliseconds.
    """
    fields: dict[str, Value] = {}
    for name in field_types(_known(kind)):
        fields[name] = From(name, time=TimeFormat(unit="ms") if name == "time" else None)
    return CsvMapping(Rule(kind, fields))


def read_mapping(file: Path, event: str | None = None) -> CsvMapping:
    """The mapping of a file; `event` is the kind of records if the file does not say it.

    Raises UsageError, naming the word, for a file that cannot be read or that says something
    impossible.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: {error}", remedy="Write TOML, see docs/importing.md") from error
    try:
        return _mapping(found, event, text)
    except _Wrong as wrong:
        raise UsageError(f"{file}: {wrong}", remedy=wrong.remedy) from wrong


class _Wrong(Exception):
    def __init__(self, what: str, remedy: str = "See docs/importing.md") -> None:
        super().__init__(what)
        self.remedy = remedy


def _mapping(found: Mapping[str, Any], event: str | None, text: str) -> CsvMapping:
    for word in found:
        if word not in _WORDS:
            raise _Wrong(f"there is no {word!r}", hint(word, _WORDS))
    kind = _known(_text(found, "record", event or ""))
    fields = found.get("fields")
    if not isinstance(fields, dict) or not fields:
        raise _Wrong("no [fields]")
    types = field_types(kind)
    made: dict[str, Value] = {}
    for name, value in fields.items():
        if name not in types:
            raise _Wrong(f"a {kind} has no field {name!r}", hint(name, types))
        made[name] = _value(name, value, types[name])
    for name in required(kind):
        if name not in made:
            raise _Wrong(f"a {kind} needs the field {name}", f"Give {name} in [fields]")
    columns = found.get("columns", [])
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns):
        raise _Wrong("columns is no list of names")
    delimiter = _text(found, "delimiter", ",")
    if len(delimiter) != 1:
        raise _Wrong("delimiter is no single character")
    encoding = _text(found, "encoding", "utf-8")
    try:
        "\n".encode(encoding)
    except LookupError as error:
        raise _Wrong(f"there is no encoding {encoding!r}", "Write utf-8 or latin-1") from error
    if "\n".encode(encoding) != b"\n":
        raise _Wrong(f"encoding {encoding!r} has lines of other bytes", "Convert to utf-8")
    return CsvMapping(Rule(kind, made), delimiter, encoding, tuple(columns), text)


def _known(kind: str) -> str:
    if not kind:
        raise _Wrong("it does not say what the records are", "Write record, or give --event")
    try:
        found = kind_of_record(kind).name
    except UsageError as error:
        raise _Wrong(error.message, error.remedy or "") from error
    if found == "definition":
        names = [name for name in TYPES if name != found]
        raise _Wrong("definitions have no form as CSV", hint(found, names))
    return found


def _value(name: str, value: Any, kind: pl.DataType) -> Value:
    if isinstance(value, str):
        value = {"column": value}
    if not isinstance(value, dict):
        raise _Wrong(f'{name}: give a column, or {{ value = "..." }}')
    for word in value:
        if word not in _PARTS:
            raise _Wrong(f"{name}: there is no {word!r}", hint(word, _PARTS))
    if "value" in value:
        return _constant(name, value["value"], kind)
    if "hash" in value:
        columns = value["hash"]
        if not isinstance(columns, list) or not columns:
            raise _Wrong(f"{name}: hash is no list of columns")
        return Hashed(tuple(map(str, columns)))
    absent, values = value.get("absent", [""]), value.get("values", {})
    if not isinstance(absent, list) or not isinstance(values, dict):
        raise _Wrong(f"{name}: absent is a list, values a table")
    checked = {key: _constant(name, one, kind) for key, one in values.items()}
    form = _time(name, value) if name == "time" else None
    texts = frozenset(map(str, absent))
    return From(_text(value, "column", "") or name, checked, texts, form)


def _constant(name: str, value: Any, kind: pl.DataType) -> str | int | bool:
    fits: dict[Any, type] = {pl.Boolean: bool, pl.Int32: int, pl.Int64: int}
    if not isinstance(value, str | int) or type(value) is not fits.get(type(kind), str):
        raise _Wrong(f"{name}: {value!r} has another type than the field")
    if isinstance(kind, pl.Enum) and value not in kind.categories:
        raise _Wrong(f"{name}: there is no {value!r}", hint(str(value), list(kind.categories)))
    return value


def _time(name: str, value: Mapping[str, Any]) -> TimeFormat:
    unit, form = _text(value, "unit", ""), _text(value, "format", "")
    if bool(unit) == bool(form):
        raise _Wrong(
            f"{name}: how is the time written?", 'Write unit = "s" (ms, us, ns), or a format'
        )
    if unit and unit not in _UNITS:
        raise _Wrong(f"{name}: there is no unit {unit!r}", hint(unit, _UNITS))
    zone = _text(value, "zone", "UTC")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _Wrong(f"{name}: there is no zone {zone!r}", "Write one as Europe/Berlin") from error
    if form and form != "iso":
        try:
            pl.Series(["x"]).str.strptime(pl.Datetime("ms"), form, strict=False)
        except pl.exceptions.PolarsError as error:
            raise _Wrong(f"{name}: {form!r} is no format: {error!s:.100}") from error
    return TimeFormat(unit, form, zone)


def _text(found: Mapping[str, Any], word: str, default: str) -> str:
    value = found.get(word, default)
    if not isinstance(value, str):
        raise _Wrong(f"{word} is no text")
    return value

"""Reads a mapping file (TOML): which column gives which field. Wrong words are refused at once.

record = "send"                                  # the kind of all records
delimiter = ";"                                  # of CSV; by default a comma
encoding = "utf-8"
columns = ["uid", "at", "campaign"]              # the names, if the file has no line of names

[fields]
user_id = "uid"                                  # and so on, as in schemas/mapping/spelling.py
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.tools.records import TYPES, kind_of_record
from schemas.errors import UsageError
from schemas.mapping.field_types import field_types
from schemas.mapping.rule import From, Rule, TimeFormat, Value
from schemas.mapping.spelling import BadMapping, read_fields, text_in
from schemas.words.nearest import hint

__all__ = ["CsvMapping", "plain_mapping", "read_mapping"]

_WORDS = ("record", "delimiter", "encoding", "columns", "fields")


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
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{file}: {error!s:.300}", remedy="Write TOML, see docs/importing.md"
        ) from error
    try:
        return _mapping(found, event, text)
    except BadMapping as wrong:
        remedy = wrong.remedy or "See docs/importing.md"
        raise UsageError(f"{file}: {wrong}", remedy=remedy) from wrong


def _mapping(found: Mapping[str, Any], event: str | None, text: str) -> CsvMapping:
    for word in found:
        if word not in _WORDS:
            raise BadMapping(f"there is no {word!r}", hint(word, _WORDS))
    kind = _known(text_in(found, "record", event or ""))
    made = read_fields(kind, found.get("fields"))
    columns = found.get("columns", [])
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns):
        raise BadMapping("columns is no list of names")
    delimiter = text_in(found, "delimiter", ",")
    if len(delimiter) != 1:
        raise BadMapping("delimiter is no single character")
    encoding = text_in(found, "encoding", "utf-8")
    try:
        "\n".encode(encoding)
    except LookupError as error:
        raise BadMapping(f"there is no encoding {encoding!r}", "Write utf-8 or latin-1") from error
    if "\n".encode(encoding) != b"\n":
        raise BadMapping(f"encoding {encoding!r} has lines of other bytes", "Convert to utf-8")
    return CsvMapping(Rule(kind, made), delimiter, encoding, tuple(columns), text)


def _known(kind: str) -> str:
    if not kind:
        raise BadMapping("it does not say what the records are", "Write record, or give --event")
    try:
        found = kind_of_record(kind).name
    except UsageError as error:
        raise BadMapping(error.message, error.remedy or "") from error
    if found == "definition":
        names = [name for name in TYPES if name != found]
        raise BadMapping("definitions have no form as CSV", hint(found, names))
    return found

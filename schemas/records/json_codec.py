"""Records as JSON, as a person types them into a console producer.

The fields are those of Avro. A missing or null field takes its default. An unknown field is
ignored, unless it shows that the record is meant for another topic, or it is a misspelt field
(schemas.records.misspelt). Everything else is checked strictly: a boolean is no number, a number is
no text, a time is an integer of milliseconds. An enum symbol may have any case. A text field that
the schema marks `"content": "json"` also accepts an object and stores its JSON text.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NoReturn

from schemas.records import registry, strict_json
from schemas.records.misspelt import MISSPELT, look
from schemas.records.undecodable import Undecodable

__all__ = ["decode"]

Check = Callable[[object, str], object]
"""Takes a value and its path, returns the value to keep, raises Undecodable."""

_PRIMITIVES: dict[str, type] = {"string": str, "boolean": bool}
_BITS = {"int": 31, "long": 63}
_REQUIRED = object()
_ALIKE = 0.75
#: Fields that say which event a record is, where its topic says something else. `value` does
#: not, and `url` on the topic of opens only: producers may use such words for anything.
_SAYS: Mapping[str, frozenset[str]] = {
    "send": frozenset({"campaign_id", "canvas_id"}),
    "open": frozenset({"machine_open"}),
    "click": frozenset({"link_alias", "is_suspected_bot_click", "url"}),
    "variant": frozenset({"in_control_group", "exited"}),
    "conversion": frozenset({"conversion_behavior_index"}),
    "signal": frozenset({"signal_type"}),
}


def decode(data: bytes, name: str, fields: frozenset[str] | None = None) -> dict[str, object]:
    """Return the record `name` of this JSON, with all fields, or only those of `fields`.

    Raises Undecodable with code bad_json or missing_field.
    """
    check = _record_check(name, fields)
    try:
        value = strict_json.loads(data.decode())
    except ValueError as error:
        raise Undecodable("bad_json", str(error)[:200]) from error
    record: dict[str, object] = check(value, "")  # type: ignore[assignment]
    # json takes lone surrogates, which are no text: they could never be written again
    if b"\\u" in data:
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Undecodable("bad_json", str(error)[:200]) from error
    if value.keys() - _names(name):
        _look(name, value)
    return record


@cache
def _names(name: str) -> frozenset[str]:
    return frozenset(field["name"] for field in registry.raw(name)["fields"])


def _look(name: str, value: dict[str, object]) -> None:
    """Check the unknown fields: do they belong to another event, or is one misspelt?"""
    known = _names(name)
    for event, fields in _SAYS.items() if name in _SAYS or name == "user" else ():
        if event != name and value.get("type") == event:
            raise Undecodable("bad_json", f"type is {event}, on the topic of {name}")
        for field in fields - known - ({"url"} if name != "open" else set()):
            said = value.get(field)
            if said is not None and said is not False and said != "":
                raise Undecodable("bad_json", f"{field} is of a {event}, on the topic of {name}")
    look(name, value, sorted(known))


@cache
def _record_check(name: str, fields: frozenset[str] | None = None) -> Check:
    if fields is None:
        return _compile(registry.raw(name), {})
    kept = [field for field in registry.raw(name)["fields"] if field["name"] in fields]
    return _compile({**registry.raw(name), "fields": kept}, {})


def _compile(schema: Any, named: dict[str, Check]) -> Check:
    if isinstance(schema, list):
        return _optional(_compile(next(b for b in schema if b != "null"), named))
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, (list, dict)):
        return _compile(kind, named)
    if kind in named:
        return named[kind]
    if kind in _BITS:
        return _integer(_BITS[kind], kind)
    if kind in _PRIMITIVES:
        return _primitive(_PRIMITIVES[kind], kind)
    if kind == "array":
        return _array(_compile(schema["items"], named))
    if kind == "enum":
        check = _enum(schema["name"], frozenset(schema["symbols"]), schema.get("default"))
    elif kind == "record":
        check = _record(schema["fields"], named)
    else:
        raise registry.UnknownSchema(str(kind), "this type has no JSON form yet")
    named[schema["name"]] = check
    return check


def _record(fields: list[dict[str, Any]], named: dict[str, Check]) -> Check:
    plan = [(f["name"], _field(f, named), f.get("default", _REQUIRED)) for f in fields]

    def check(value: object, path: str) -> object:
        if type(value) is not dict:
            _wrong(path or "record", "an object", value)
        inside = f"{path}." if path else ""
        record: dict[str, object] = {}
        for name, check_field, default in plan:
            item = value.get(name)
            if item is not None:
                record[name] = check_field(item, inside + name)
            elif default is _REQUIRED:
                raise Undecodable("missing_field", inside + name)
            else:
                # every default that can be changed in place is an empty list
                record[name] = [] if default == [] else default
        return record

    return check


def _field(field: dict[str, Any], named: dict[str, Check]) -> Check:
    check = _compile(field["type"], named)
    return _json_text(check) if field.get("content") == "json" else check


def _json_text(text: Check) -> Check:
    def check(value: object, path: str) -> object:
        if type(value) is dict:
            try:
                return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            except (ValueError, RecursionError) as error:
                raise Undecodable("bad_json", f"{path}: {error!s:.200}") from error
        return text(value, path)

    return check


def _optional(inner: Check) -> Check:
    return lambda value, path: None if value is None else inner(value, path)


def _primitive(python: type, kind: str) -> Check:
    def check(value: object, path: str) -> object:
        if type(value) is not python:
            _wrong(path, kind, value)
        return value

    return check


def _integer(bits: int, kind: str) -> Check:
    low, high = -(1 << bits), (1 << bits) - 1

    def check(value: object, path: str) -> object:
        if type(value) is not int or not low <= value <= high:
            _wrong(path, kind, value)
        return value

    return check


def _enum(name: str, symbols: frozenset[str], default: str | None) -> Check:
    in_case = {symbol.casefold(): symbol for symbol in symbols}

    def check(value: object, path: str) -> object:
        if type(value) is str:
            if value in symbols:
                return value
            if (symbol := in_case.get(value.casefold())) is not None:
                return symbol
            if default is not None:
                MISSPELT.note(name, value, symbols, likeness=_ALIKE)
                return default
        _wrong(path, " | ".join(sorted(symbols)), value)

    return check


def _array(item: Check) -> Check:
    def check(value: object, path: str) -> object:
        if type(value) is not list:
            _wrong(path, "an array", value)
        return [item(element, f"{path}[{i}]") for i, element in enumerate(value)]

    return check


def _wrong(path: str, expected: str, value: object) -> NoReturn:
    # never the repr of a container: it may be deep or large
    shown = repr(value)[:80] if isinstance(value, (str, int, float)) else type(value).__name__
    raise Undecodable("bad_json", f"{path}: expected {expected}, found {shown}")

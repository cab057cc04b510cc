"""The JSON form of a record as a JSON schema (draft 7), made from its Avro schema.

It allows what `schemas.records.json_codec` reads, except that it wants the symbols of an enum as
they are written in the schema, and that it does not know which unknown fields are misspelt.
"""

from collections.abc import Mapping
from typing import Any

from agents.reference import fields
from schemas.records import registry

__all__ = ["json_form"]

_FORMAT = {"int": "int32", "long": "int64"}


def json_form(name: str) -> dict[str, Any]:
    """The schema of the record `name`."""
    raw = registry.raw(name)
    return {"description": raw["doc"], **_record(name, "", raw, {})}


def _record(name: str, inside: str, raw: Mapping[str, Any], named: dict[str, Any]) -> Any:
    properties: dict[str, Any] = {}
    for field in raw["fields"]:
        path = f"{inside}.{field['name']}" if inside else field["name"]
        found = _type(name, path, field, field["type"], named)
        if "default" in field:
            found = _nullable(found) | {"default": field["default"]}
        properties[field["name"]] = {"description": fields.meaning(name, inside, field), **found}
    required = [field["name"] for field in raw["fields"] if "default" not in field]
    return {"type": "object", "required": required, "properties": properties}


def _type(
    name: str, path: str, field: Mapping[str, Any], kind: Any, named: dict[str, Any]
) -> dict[str, Any]:
    if isinstance(kind, list):
        return _type(name, path, field, next(one for one in kind if one != "null"), named)
    if isinstance(kind, str):
        if kind in named:
            found: dict[str, Any] = _record(name, path, named[kind], named)
            return found
        if kind in _FORMAT:
            return {"type": "integer", "format": _FORMAT[kind]}
        types = ["object", "string"] if field.get("content") == "json" else kind
        return {"type": types}
    if kind["type"] == "array":
        return {"type": "array", "items": _type(name, path, {}, kind["items"], named)}
    if kind["type"] == "record":
        named[kind["name"]] = kind
        inner: dict[str, Any] = _record(name, path, kind, named)
        return inner
    if kind["type"] == "enum":
        symbols = {"type": "string", "enum": kind["symbols"]}
        # another word is read as the default
        return {"anyOf": [symbols, {"type": "string"}]} if "default" in kind else symbols
    return _type(name, path, field, kind["type"], named)


def _nullable(found: dict[str, Any]) -> dict[str, Any]:
    """A field with a default may be null: it has its default then."""
    if "anyOf" in found:
        return {"anyOf": [*found["anyOf"], {"type": "null"}]}
    kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
    return found | {"type": [*kinds, "null"]}

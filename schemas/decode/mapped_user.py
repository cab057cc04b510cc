"""Reads one record of the users topic by the topic's mapping.

There are few such records compared with events, so this works value by value; the rules are those
of schemas.mapping.convert for texts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.decode.loose import avro_object, json_object, values_of
from schemas.decode.mapped import json_mapping, resolved
from schemas.mapping.convert import ANY, text_of
from schemas.mapping.frames import bare, text_at, value_at
from schemas.mapping.rule import Constant, From, Hashed
from schemas.mapping.topics import Aliases, TopicMapping
from schemas.records import codec, registry
from schemas.records.registry import SchemaSource, UnknownSchema
from schemas.records.undecodable import Undecodable
from schemas.tables.stable_hash import stable_hash_of

__all__ = ["decode_user"]

_FRAME_BYTES = 5
_SHOWN = 80


def decode_user(
    data: bytes, source: SchemaSource, mappings: tuple[TopicMapping, ...]
) -> dict[str, object]:
    """The fields of a user's record. Raises Undecodable, and Recoverable if `source` does not
    answer.
    """
    if not mappings:
        return codec.decode(data, "user", source)
    found = json_mapping(mappings)
    if data[:1] == b"{":
        return _fields(found, json_object(data)) if found else codec.decode(data, "user", source)
    schema_id = codec.framed_id(data)
    try:
        meaning = None if schema_id is None else resolved("user", schema_id, source, mappings)
    except UnknownSchema as error:
        if error.schema_type == "JSON" and found:
            return _fields(found, json_object(data[_FRAME_BYTES:]))
        meaning = None
    if meaning is None:
        return codec.decode(data, "user", source)
    if meaning.refusal:
        raise Undecodable("unmapped", meaning.refusal)
    return _fields(meaning.mapping, avro_object(data, _FRAME_BYTES, meaning.parsed))


def _fields(mapping: TopicMapping, found: Mapping[str, Any]) -> dict[str, object]:
    values = values_of(mapping, found, mapping.rule.fields)
    made: dict[str, object] = {}
    for field in registry.raw("user")["fields"]:
        name = field["name"]
        if name in mapping.aliases:
            made[name] = list(_aliases(name, mapping.aliases[name], found))
            continue
        value = mapping.rule.fields.get(name)
        text = None if value is None else _text(name, value, values)
        if text is None and "default" not in field:
            column = value.column if isinstance(value, From) else name
            detail = f"{name} has no value: {column} is null or absent"
            raise Undecodable("missing_field", detail)
        default = field.get("default")
        made[name] = text if text is not None else ([] if default == [] else default)
    return made


def _text(name: str, value: From | Hashed | Constant, values: Mapping[str, Any]) -> str | None:
    if isinstance(value, Hashed):
        texts = [
            "" if (one := values.get(path)) is None else text_at(one) for path in value.columns
        ]
        return stable_hash_of("|".join(f"{len(one.encode())}|{one}" for one in texts))
    if not isinstance(value, From):
        return text_of(value)
    found = values.get(value.column)
    if found is None:
        return None
    text = text_at(found)
    if text in value.absent:
        return None
    if not value.values:
        return text
    replaced = value.values.get(text, value.values.get(ANY))
    if replaced is None:
        detail = f"{name}: column {value.column}: {text[:_SHOWN]!r} is no value that the mapping"
        raise Undecodable("unmapped", f"{detail} names")
    return text_of(replaced)


def _aliases(name: str, alias: Aliases, found: Mapping[str, Any]) -> Iterator[object]:
    """One or a list of texts or of objects with a name and a label."""
    given = value_at(found, alias.column)
    for one in given if isinstance(given, list) else [given]:
        plain = bare(one)
        if plain is None:
            continue
        label: Any = None
        if isinstance(plain, Mapping):
            label = value_at(plain, alias.label)
            plain = value_at(plain, alias.name)
        if not isinstance(plain, str | int) or not isinstance(label, str | int | None):
            raise Undecodable("unmapped", f"{name}: column {alias.column} has no {alias.name}")
        text = text_at(plain)
        yield (
            text
            if name == "aliases"
            else {
                "alias_name": text,
                "alias_label": "" if label is None else text_at(label),
            }
        )

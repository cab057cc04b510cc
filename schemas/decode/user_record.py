"""Reads and checks one record of the users topic.

A key is the user's id: plain text, a JSON string or `{"user_id": ..}`; or, behind a Confluent
frame, one of the last two or an Avro string. The user of a record is its `user_id`, and the key
must agree with it. The key of a deletion (a null value) names the user.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.decode.batch import KafkaRecord
from schemas.decode.check import RecordLimits
from schemas.decode.mapped_user import decode_user
from schemas.mapping.topics import TopicMapping
from schemas.records import strict_json
from schemas.records.codec import Undecodable
from schemas.records.registry import SchemaSource
from schemas.records.varint import read_varint
from schemas.tables.roster import aliases_text

__all__ = ["key_users", "read_user_record"]

_FRAME = struct.Struct(">BI")
_SHOWN = 80


def read_user_record(
    record: KafkaRecord,
    limits: RecordLimits,
    source: SchemaSource,
    mappings: tuple[TopicMapping, ...] = (),
) -> tuple[str, Mapping[str, Any] | None]:
    """The user and the record's fields, None for a deletion. `mappings` are those of the topic.

    Raises Undecodable.
    """
    size = len(record.key or b"") + len(record.value or b"")
    if size > limits.max_record_bytes:
        raise Undecodable("too_large", f"{size} bytes of key and value")
    named = key_users(record.key)
    if record.value is None:
        user, fields = _deleted(record.key, named), None
    else:
        fields = decode_user(record.value, source, mappings)
        user = str(fields["user_id"])
        _check(user, fields)
    for name, text in _texts(user, fields):
        if len(text.encode()) > limits.max_field_bytes:
            raise Undecodable("too_long", f"{name} has {len(text.encode())} bytes")
    # a row is never split, and must fit one record: escaped, a text may have grown
    stored = sum(len(text.encode()) for _, text in _texts(user, fields, stored=True))
    if stored > limits.max_record_bytes:
        raise Undecodable("too_large", f"the user would take {stored} bytes")
    if record.key and user not in named:
        raise Undecodable(
            "bad_key", f"the key is {_shown(record.key)}, user_id is {user[:_SHOWN]!r}"
        )
    return user, fields


def key_users(key: bytes | None) -> tuple[str, ...]:
    """The users that a key may name, for a deletion the first counts; empty if the key is no text.

    Plain text that is also JSON may be meant in both ways.
    """
    if not key:
        return ()
    if key[0] == 0 and len(key) > _FRAME.size:
        body = key[_FRAME.size :]
        found = _avro_text(body)
        return (found,) if found is not None else tuple(_json_texts(body))
    try:
        plain = key.decode()
    except UnicodeDecodeError:
        return ()
    return (*_json_texts(key), plain)


def _deleted(key: bytes | None, named: tuple[str, ...]) -> str:
    if not key:
        raise Undecodable("missing_field", "a deletion without a key: it names the user")
    if not named:
        raise Undecodable("bad_key", f"the key of a deletion is {_shown(key)}")
    if not named[0]:
        raise Undecodable("missing_field", "the key of a deletion is an empty text")
    return named[0]


def _check(user: str, fields: Mapping[str, Any]) -> None:
    if not user:
        raise Undecodable("missing_field", "user_id is empty")
    for name in ("external_user_id", "merged_into"):
        if fields.get(name) == "":
            raise Undecodable("missing_field", f"{name} is empty")
    for name, alias in _aliases(fields):
        if not alias:
            raise Undecodable("missing_field", f"{name} is empty")
    if fields.get("merged_into") == user:
        raise Undecodable("bad_merge", f"merged_into is the user itself, {user[:_SHOWN]!r}")


def _aliases(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for number, alias in enumerate(fields.get("aliases") or ()):
        yield f"aliases[{number}]", alias
    for number, alias in enumerate(fields.get("user_aliases") or ()):
        yield f"user_aliases[{number}].alias_name", alias["alias_name"]


def _texts(
    user: str, fields: Mapping[str, Any] | None, *, stored: bool = False
) -> Iterator[tuple[str, str]]:
    """The texts of a record by name; with `stored`, those of its row."""
    yield "user_id", user
    if fields is None:
        return
    for name in ("external_user_id", "merged_into"):
        yield name, fields.get(name) or ""
    if stored:
        yield "aliases", aliases_text(fields) or ""
        return
    yield from _aliases(fields)
    for number, alias in enumerate(fields.get("user_aliases") or ()):
        yield f"user_aliases[{number}].alias_label", alias["alias_label"]


def _avro_text(body: bytes) -> str | None:
    """The text if the bytes are exactly one Avro string, which its length proves."""
    try:
        length, at = read_varint(body, 0)
        return body[at:].decode() if length == len(body) - at else None
    except (IndexError, UnicodeDecodeError):
        return None


def _json_texts(data: bytes) -> Iterator[str]:
    if data[:1] not in (b'"', b"{"):
        return
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        value = value.get("user_id")
    # a lone surrogate is no text: no user has it
    if isinstance(value, str) and strict_json.is_text(value):
        yield value


def _shown(key: bytes | None) -> str:
    return repr((key or b"")[:_SHOWN])

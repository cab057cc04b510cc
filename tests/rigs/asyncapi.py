"""A checker of AsyncAPI 3.0 documents, as far as ours use the specification.

`faults` lists what the specification does not allow: a member that an object does not have, a
required one that is missing, a value of another type, a reference that leads nowhere, an operation
without its channel, a schema that is none. It is stricter than a schema of JSON can be: it follows
references, reads Avro schemas with the reference implementation, and wants all messages used.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import avro.errors
import avro.schema
import jsonschema_rs

__all__ = ["faults", "resolve"]

Check = Callable[[Any, str], Iterator[str]]
_EXTENSION = re.compile(r"x-[\w.-]+")
_COMPONENT = re.compile(r"[\w.-]+")
_AVRO = re.compile(r"application/vnd\.apache\.avro(\+json)?;version=1\.\d+\.\d+")
_MEDIA = re.compile(r"[a-z]+/[\w.+-]+")


@dataclass(frozen=True)
class Object:
    """An object of the specification: its members, and which of them it must have."""

    members: Mapping[str, Check]
    required: frozenset[str] = frozenset()

    def __call__(self, value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path}: is no object"
            return
        for name in sorted(self.required - value.keys()):
            yield f"{path}: lacks {name}"
        for name, item in value.items():
            check = self.members.get(name)
            if check is not None:
                yield from check(item, f"{path}/{name}")
            elif not _EXTENSION.fullmatch(name):
                yield f"{path}: has no member {name}"


def _of(kind: type, words: re.Pattern[str] | None = None) -> Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, kind):
            yield f"{path}: {value!r} is no {kind.__name__}"
        elif words is not None and not words.fullmatch(str(value)):
            yield f"{path}: {value!r} has another form"

    return check


def _one_of(*values: Any) -> Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if value not in values:
            yield f"{path}: {value!r} is none of {values}"

    return check


def _from(least: int) -> Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if type(value) is not int or value < least:
            yield f"{path}: {value!r} is no number from {least}"

    return check


def _each(item: Check) -> Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{path}: is no list"
            return
        for at, one in enumerate(value):
            yield from item(one, f"{path}/{at}")

    return check


def _map(item: Check) -> Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path}: is no object"
            return
        for name, one in value.items():
            if not _COMPONENT.fullmatch(name):
                yield f"{path}: {name!r} is no name of a component"
            yield from item(one, f"{path}/{name}")

    return check


def _json_schema(value: Any, path: str) -> Iterator[str]:
    try:
        jsonschema_rs.Draft7Validator(value)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        yield f"{path}: is no JSON schema: {error}"


def _payload(value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict) or "schemaFormat" not in value:
        yield from _json_schema(value, path)
        return
    yield from Object({"schemaFormat": _of(str, _AVRO), "schema": _avro}, _MULTI)(value, path)


_MULTI = frozenset({"schemaFormat", "schema"})


def _avro(value: Any, path: str) -> Iterator[str]:
    try:
        avro.schema.parse(json.dumps(value))
    except avro.errors.AvroException as error:
        yield f"{path}: is no Avro schema: {error}"


_TEXT = _of(str)
_REFERENCE = Object({"$ref": _of(str, re.compile("#/.+"))}, frozenset({"$ref"}))
_TAG = Object({"name": _TEXT, "description": _TEXT}, frozenset({"name"}))
_LICENSE = Object({"name": _TEXT, "url": _of(str, re.compile(r"https://\S+"))}, frozenset({"name"}))
_INFO = Object(
    {"title": _TEXT, "version": _TEXT, "description": _TEXT, "license": _LICENSE},
    frozenset({"title", "version"}),
)
_VERSION = _one_of("0.5.0")


def _kafka(**members: Check) -> Object:
    return Object({"kafka": Object({**members, "bindingVersion": _VERSION})})


_SERVER = Object(
    {
        "host": _of(str, re.compile(r"[^\s/:]+(:\d+)?")),
        "protocol": _one_of("kafka"),
        "bindings": _kafka(
            schemaRegistryUrl=_of(str, re.compile(r"https?://[^\s@]+")), schemaRegistryVendor=_TEXT
        ),
    },
    frozenset({"host", "protocol"}),
)
_TOPIC = Object(
    {
        "cleanup.policy": _each(_one_of("compact", "delete")),
        "retention.ms": _from(-1),
        "retention.bytes": _from(-1),
        "delete.retention.ms": _from(0),
        "max.message.bytes": _from(0),
    }
)
_CHANNEL = Object(
    {
        "address": _TEXT,
        "title": _TEXT,
        "summary": _TEXT,
        "description": _TEXT,
        "messages": _map(_REFERENCE),
        "tags": _each(_TAG),
        "bindings": _kafka(
            topic=_TEXT, partitions=_from(1), replicas=_from(1), topicConfiguration=_TOPIC
        ),
    }
)
_OPERATION = Object(
    {
        "action": _one_of("send", "receive"),
        "channel": _REFERENCE,
        "messages": _each(_REFERENCE),
        "title": _TEXT,
        "summary": _TEXT,
        "description": _TEXT,
    },
    frozenset({"action", "channel"}),
)
_MESSAGE = Object(
    {
        "name": _TEXT,
        "title": _TEXT,
        "summary": _TEXT,
        "description": _TEXT,
        "contentType": _of(str, _MEDIA),
        "headers": _json_schema,
        "payload": _payload,
        "bindings": _kafka(
            key=_json_schema,
            schemaIdLocation=_one_of("header", "payload"),
            schemaIdPayloadEncoding=_TEXT,
        ),
    }
)
_DOCUMENT = Object(
    {
        "asyncapi": _one_of("3.0.0"),
        "info": _INFO,
        "servers": _map(_SERVER),
        "channels": _map(_CHANNEL),
        "operations": _map(_OPERATION),
        "components": Object({"messages": _map(_MESSAGE)}),
    },
    frozenset({"asyncapi", "info"}),
)


def resolve(document: Any, reference: str) -> Any:
    """What a reference within the document leads to. Raises KeyError."""
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def faults(document: Any) -> list[str]:
    """What is wrong, each with its place; an empty list for a document that may be published."""
    found = list(_DOCUMENT(document, "#"))
    return found or [*_lost(document, document, "#"), *_strange(document)]


def _lost(document: Any, value: Any, path: str) -> Iterator[str]:
    """References that lead nowhere, outside of schemas."""
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name == "$ref":
            try:
                resolve(document, item)
            except KeyError:
                yield f"{path}: {item} leads nowhere"
        elif name not in ("payload", "headers", "key"):
            yield from _lost(document, item, f"{path}/{name}")


def _strange(document: Any) -> Iterator[str]:
    """What no schema of JSON can say."""
    channels, used = document.get("channels", {}), set()
    addresses = [channel.get("address") for channel in channels.values()]
    if len(set(addresses)) < len(addresses):
        yield "#/channels: two channels have the same address"
    for name, channel in channels.items():
        used |= {message["$ref"] for message in channel.get("messages", {}).values()}
        topic = channel.get("bindings", {}).get("kafka", {}).get("topic")
        if topic not in (None, channel.get("address")):
            yield f"#/channels/{name}: its topic is not its address"
    for name, operation in document.get("operations", {}).items():
        if not re.fullmatch("#/channels/[^/]+", operation["channel"]["$ref"]):
            yield f"#/operations/{name}: its channel is not one of the root"
        for message in operation.get("messages", ()):
            if not message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/"):
                yield f"#/operations/{name}: {message['$ref']} is not a message of its channel"
    for name in document.get("components", {}).get("messages", {}):
        if f"#/components/messages/{name}" not in used:
            yield f"#/components/messages/{name}: no channel has it"

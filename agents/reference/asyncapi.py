"""The AsyncAPI document: every topic as a channel, every record as a message.

A channel is named like its topic without the prefix. An operation is seen from emberline: it
receives what producers and operators send, and sends what consumers read. The payload of an Avro
message is the schema itself; `x-emberline-schema-ids` are the ids that it may have in its frame.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from agents.reference.json_form import json_form
from agents.reference.topic_facts import TopicFacts, facts
from schemas.records import registry
from schemas.records.registry import OWN, REGISTRY
from streams.kafka.topic_specs import TopicSpec
from streams.settings import Settings

__all__ = ["AVRO", "IDS", "document"]

AVRO = "application/vnd.apache.avro;version=1.9.0"
"""The schema format of an Avro payload."""
IDS = "x-emberline-schema-ids"

_BINDING = "0.5.0"
_OURS = frozenset({"shards", "coordinator", "notifier", "workers"})
_NUMBERS = ("retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes")
_ABOUT = (
    "Engagement data, hot as long as it is used. Values are Avro in Confluent framing: byte 0, the "
    "schema id as big-endian uint32, the body. Input topics take JSON objects too. Consumers read "
    "with isolation.level=read_committed."
)


def document(settings: Settings) -> dict[str, Any]:
    """An AsyncAPI 3.0 document of all topics under these settings."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for spec, about in facts(settings):
        name = spec.name.removeprefix(settings.prefix)
        made = dict(_messages(name, about))
        messages |= made
        channels[name] = _channel(spec, about, made)
        for action, roles in (("receive", about.readers), ("send", about.writers)):
            if _OURS & set(roles):
                operations[f"{action}.{name}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{name}"},
                    "summary": f"{about.about[0].upper()}{about.about[1:]}",
                }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "emberline",
            "version": version("emberline"),
            "description": _ABOUT,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "servers": dict(_servers(settings)),
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _servers(settings: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    registry_url = re.sub(r"//[^/]*@", "//", settings.schema_registry_url)
    bound = {"schemaRegistryUrl": registry_url, "schemaRegistryVendor": "confluent"}
    tls = settings.kafka_security in ("ssl", "sasl_ssl")
    for number, host in enumerate(settings.bootstrap_servers.split(","), 1):
        server: dict[str, Any] = {"host": host, "protocol": "kafka-secure" if tls else "kafka"}
        if security := _security(settings):
            server["security"] = [security]
        if registry_url:
            server["bindings"] = {"kafka": bound | {"bindingVersion": _BINDING}}
        yield f"kafka-{number}", server


def _security(settings: Settings) -> dict[str, str] | None:
    """How a client proves who it is, in AsyncAPI's words."""
    if settings.kafka_security in ("sasl_plaintext", "sasl_ssl"):
        kind = {
            "PLAIN": "plain",
            "SCRAM-SHA-256": "scramSha256",
            "SCRAM-SHA-512": "scramSha512",
            "OAUTHBEARER": "http",
        }[settings.kafka_sasl_mechanism]
        return {"type": kind, "scheme": "bearer"} if kind == "http" else {"type": kind}
    return {"type": "X509"} if settings.kafka_cert_file else None


def _channel(spec: TopicSpec, about: TopicFacts, messages: Mapping[str, Any]) -> dict[str, Any]:
    configs = {name: int(spec.configs[name]) for name in _NUMBERS if name in spec.configs}
    found: dict[str, Any] = {
        "address": spec.name,
        "title": f"{about.about[0].upper()}{about.about[1:]}",
        "description": (
            f"Written by: {', '.join(about.writers)}. Read by: {', '.join(about.readers)}. "
            f"Order: {about.order}."
        ),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "replicas": spec.replicas,
                "topicConfiguration": {
                    "cleanup.policy": [spec.configs["cleanup.policy"]],
                    **configs,
                },
                "bindingVersion": _BINDING,
            }
        },
    }
    if about.internal:
        found["tags"] = [{"name": "internal", "description": "Only emberline uses it."}]
    return found


def _messages(channel: str, about: TopicFacts) -> Iterator[tuple[str, dict[str, Any]]]:
    common: dict[str, Any] = {"bindings": {"kafka": _kafka(about, framed=False)}}
    if about.headers:
        properties = {
            name: {"type": "string", "description": doc} for name, doc in about.headers.items()
        }
        common["headers"] = {"type": "object", "properties": properties}
    if about.record is None:
        name = "".join(part.capitalize() for part in channel.replace("-", ".").split("."))
        payload = {"type": "string", "format": "binary", "description": about.value}
        yield name, {"name": name, "contentType": _BYTES, "payload": payload, **common}
    else:
        yield from _record(about.record, about, common)
        name = str(registry.raw(about.record)["name"])
    if about.nulls:
        yield (
            f"{name}Null",
            {
                "name": f"{name}Null",
                "summary": f"A record without a value. {about.nulls}",
                "contentType": _BYTES,
                "payload": {"type": "null"},
                **common,
            },
        )


_BYTES = "application/octet-stream"


def _record(
    record: str, about: TopicFacts, common: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    raw = registry.raw(record)
    name = str(raw["name"])
    described = {"name": name, "title": name, "summary": raw["doc"]}
    yield (
        name,
        {
            **described,
            "contentType": "avro/binary",
            "payload": {"schemaFormat": AVRO, "schema": raw},
            **common,
            "bindings": {"kafka": _kafka(about, framed=True)},
            IDS: _ids(record),
        },
    )
    if about.json:
        yield (
            f"{name}Json",
            {
                **described,
                "name": f"{name}Json",
                "title": f"{name} as JSON",
                "contentType": "application/json",
                "payload": json_form(record),
                **common,
            },
        )


def _kafka(about: TopicFacts, *, framed: bool) -> dict[str, Any]:
    frame = {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
    return {
        "key": {"type": ["string", "null"], "description": about.key},
        **(frame if framed else {}),
        "bindingVersion": _BINDING,
    }


def _ids(record: str) -> list[int]:
    """Every id of the record, the one that is written without a registry first."""
    now = registry.schema_id(record)
    every = [i for i, file in REGISTRY.items() if file.endswith(f"/{record}.avsc")]
    return [now, OWN + now, *(i for i in every if i not in (now, OWN + now))]

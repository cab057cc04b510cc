"""Partitions and replicas of topics on the brokers, and the topic ids.

A topic that is deleted and created again has the same name and another id. The client library uses
a version of the request without ids, so this module has the newer version (Kafka 2.8).
"""

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from schemas.errors import Recoverable
from streams.kafka.bootstrap import Client
from streams.kafka.refusal import unreachable
from streams.kafka.topic_specs import TopicLayout

__all__ = ["OPERATIONS", "Uuid", "ids_told", "layouts", "operations"]

OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
"""Kafka's numbers of operations on topics."""

_UNKNOWN_TOPIC = 3
_NO_ID = b"\0" * 16


async def layouts(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, TopicLayout]:
    """The layout of each topic that exists; creates no topic.

    Raises Recoverable if the broker refuses, KafkaError if it does not answer.
    """
    return _layouts(await admin._send_request(_Metadata(list(names))))


async def operations(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """What this client may do with each topic: Kafka's names of OPERATIONS. Nothing with a topic
    that it may not even describe, and everything with one that does not exist.

    Raises KafkaError if no broker answers.
    """
    wanted = list(names)
    answer = await admin._send_request(_Metadata(wanted, operations=True))
    found = dict.fromkeys(wanted, frozenset(OPERATIONS))
    for code, name, _, _, _, bits, _ in answer.topics:
        if code != _UNKNOWN_TOPIC:
            allowed = bits if code == 0 else 0
            found[name] = frozenset(one for one, bit in OPERATIONS.items() if allowed >> bit & 1)
    return found


async def ids_told(client: Client, names: Iterable[str]) -> dict[str, str]:
    """The ids of topics as any broker knows them, those that do not exist left out.

    Raises as `layouts`.
    """
    answer = await client.ask_any(_Metadata(list(names)))
    return {name: found.topic_id for name, found in _layouts(answer).items()}


def _layouts(answer: Any) -> dict[str, TopicLayout]:
    found: dict[str, TopicLayout] = {}
    for code, name, topic_id, _, partitions, _, _ in answer.topics:
        if code == _UNKNOWN_TOPIC:
            continue
        if code:
            error = for_code(code)
            otherwise = Recoverable(
                f"The broker does not describe topic {name}: {error.__name__}",
                remedy="Try again, or check the rights of this client",
            )
            raise unreachable(error(), otherwise, f"topic {name}")
        replicas = min((len(part[4]) for part in partitions), default=0)
        found[name] = TopicLayout(len(partitions), replicas, topic_id.hex())
    return found


class Uuid(AbstractType[bytes]):  # type: ignore[misc]  # untyped
    """A topic's id: 16 bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(len(_NO_ID))


_PARTITION = Schema(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    ("tags", TaggedFields),
)


class _MetadataResponse(Response):  # type: ignore[misc]  # untyped
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                ("partitions", CompactArray(_PARTITION)),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]  # untyped
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]  # untyped
    API_KEY = 3

    def __init__(self, names: list[str], *, operations: bool = False) -> None:
        self._names = names
        self._operations = operations

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        topics: list[Any] = [(_NO_ID, name, {}) for name in self._names]
        return request_struct_class(topics, False, False, self._operations, {})

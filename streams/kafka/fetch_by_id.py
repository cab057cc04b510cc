"""Fetches from topics by their ids. A topic that is deleted and created again has another id.

A fetch by name cannot detect, between two answers, that the topic is a new one: its offsets may
continue after those of the former topic. A fetch by id is refused by the leader then. The client
library has the request only up to version 11, which has no ids, so this module has version 13
(Kafka 3.1) and converts its answers to version 11.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from streams.kafka.fetch_protocol import FetchQuestion
from streams.kafka.topic_layout import Uuid

__all__ = ["FetchById", "NamedAnswer", "named", "usable"]

_VERSION = 13
_NO_SESSION = (0, -1)
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class NamedAnswer:
    """An answer in the form of version 11: `(topic, [(number, code, high watermark, last stable
    offset, beginning, aborted, preferred replica, bytes)])`.
    """

    topics: list[tuple[str, list[tuple[Any, ...]]]]
    API_VERSION: int = 11


def usable(ids: Mapping[str, str]) -> dict[str, str]:
    """The ids, if topics can be asked for by them; else none.

    A broker that has no ids, because its cluster still runs with the protocol of a former version
    or it is no Apache Kafka, says zero for all topics.
    """
    own = {one for one in ids.values() if one.strip("0")}
    return dict(ids) if len(own) == len(ids) else {}


def named(answer: Any, ids: Mapping[str, str]) -> NamedAnswer:
    """The answer to a request for topics of these ids, with their names.

    Raises KafkaError if it tells of another topic.
    """
    names = {topic_id: name for name, topic_id in ids.items()}
    topics = []
    for topic_id, partitions, _ in answer.topics or ():
        if topic_id.hex() not in names:
            raise kafka_errors.UnknownTopicOrPartitionError(f"topic id {topic_id.hex()}")
        answers = [
            (*fields, [(producer, first) for producer, first, _ in aborted or ()], replica, data)
            for *fields, aborted, replica, data, _ in partitions
        ]
        topics.append((names[topic_id.hex()], answers))
    return NamedAnswer(topics)


_ASKED = Schema(
    ("partition", Int32),
    ("leader_epoch", Int32),
    ("offset", Int64),
    ("last_epoch", Int32),
    ("log_start_offset", Int64),
    ("max_bytes", Int32),
    ("tags", TaggedFields),
)

_TOLD = Schema(
    ("partition", Int32),
    ("error_code", Int16),
    ("high_watermark", Int64),
    ("last_stable_offset", Int64),
    ("log_start_offset", Int64),
    (
        "aborted",
        CompactArray(("producer_id", Int64), ("first_offset", Int64), ("tags", TaggedFields)),
    ),
    ("preferred_read_replica", Int32),
    ("records", CompactBytes),
    ("tags", TaggedFields),
)


class _FetchResponse(Response):  # type: ignore[misc]  # untyped
    API_KEY = 1
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("session_id", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid), ("partitions", CompactArray(_TOLD)), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class _FetchStruct(RequestStruct):  # type: ignore[misc]  # untyped
    FLEXIBLE_VERSION = True
    API_KEY = 1
    API_VERSION = _VERSION
    RESPONSE_TYPE = _FetchResponse
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("max_wait_ms", Int32),
        ("min_bytes", Int32),
        ("max_bytes", Int32),
        ("isolation_level", Int8),
        ("session_id", Int32),
        ("session_epoch", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid), ("partitions", CompactArray(_ASKED)), ("tags", TaggedFields)
            ),
        ),
        ("forgotten", CompactArray(Int32)),
        ("rack_id", CompactString("utf-8")),
        ("tags", TaggedFields),
    )


class FetchById(Request[_FetchStruct]):  # type: ignore[misc]  # untyped
    """One request, for topics whose ids (32 hex digits) are all in `ids`.

    Raises NotImplementedError if it is sent to a broker that does not support it.
    """

    API_KEY = 1

    def __init__(self, question: FetchQuestion, isolation: int, ids: Mapping[str, str]) -> None:
        self._question = question
        self._isolation = isolation
        self._ids = ids

    def build(self, request_struct_class: type[_FetchStruct]) -> _FetchStruct:
        asked = self._question
        topics: list[Any] = [
            (
                bytes.fromhex(self._ids[topic]),
                [
                    (number, _UNKNOWN, offset, _UNKNOWN, _UNKNOWN, most, {})
                    for number, offset, most in partitions
                ],
                {},
            )
            for topic, partitions in asked.topics()
        ]
        limits = (asked.wait_ms, asked.least, asked.most)
        return request_struct_class(-1, *limits, self._isolation, *_NO_SESSION, topics, [], "", {})

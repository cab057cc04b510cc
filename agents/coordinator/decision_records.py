"""Decisions as the records to write, by topic. Pure."""

from agents.coordinator.rules import ledger
from agents.coordinator.rules.decision import Decision
from agents.coordinator.rules.outputs import Output
from schemas.records import codec
from schemas.records.registry import own_id
from schemas.records.trace import header
from streams.kafka.log import RecordGroup
from streams.kafka.topics import Topics

__all__ = ["groups_of", "written"]


def groups_of(decision: Decision, topics: Topics, now: int, marked: bool) -> list[RecordGroup]:
    """The outputs and the coordinator's own entries; many records are fastest as batches."""
    by_topic: dict[str, list[tuple[bytes | None, bytes | None, int]]] = {}
    headers: dict[str, list[tuple[tuple[str, bytes], ...]]] = {}
    for output in decision.outputs:
        topic = getattr(topics, output.topic)
        by_topic.setdefault(topic, []).append(written(output, now, marked))
        headers.setdefault(topic, []).append(header(output.trace))
    for name, kept in ledger.entries(decision):
        by_topic.setdefault(topics.coordinator, []).append((name.encode(), kept, now))
    return [
        RecordGroup(topic, 0, (), records, headers.get(topic, ()))
        for topic, records in by_topic.items()
    ]


def written(output: Output, now: int, marked: bool) -> tuple[bytes | None, bytes, int]:
    """An output as a record: key, value, time; `marked` with the schema id that no registry
    assigns.
    """
    key = None if output.key is None else output.key.encode()
    schema_id = own_id(output.schema) if marked else None
    return key, codec.encode(output.schema, output.record, schema_id), now

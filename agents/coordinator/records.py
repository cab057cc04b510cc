"""Turns records of the coordinator's input topics into inputs of the rules, or into rejects.
Pure.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from agents.coordinator.rules.bounds import command_fault, is_request_id, report_fault, unfit
from agents.coordinator.rules.inputs import (
    CommandRead,
    CommandUnreadable,
    DefinitionRead,
    DefinitionUnreadable,
    Input,
    ReportRead,
)
from agents.coordinator.rules.quarantine import words_of_bytes, words_of_definition
from schemas.decode.batch_records import CorruptRecords, KafkaRecord, RecordBatch, unpack
from schemas.decode.check import DEFAULT_LIMITS
from schemas.decode.reject import Reject, Rejects
from schemas.records import codec
from schemas.records.codec import Undecodable
from schemas.records.lifecycle import Command, Definition, Report, Status
from schemas.records.registry import FILES, SchemaSource
from schemas.records.trace import trace_of
from streams.kafka.log import Record
from streams.kafka.remote_registry import SchemaAwaited
from streams.kafka.stored_format import check_schema
from streams.kafka.topics import Topics

__all__ = ["ActorOf", "Awaited", "Item", "definition", "read", "unproven"]


ActorOf = Callable[[KafkaRecord], str | None]
"""Who is proven, by headers that only a worker can make, to have sent a command; or None."""


def unproven(_: KafkaRecord) -> str | None:
    """Proves no sender."""
    return None


@dataclass(frozen=True, slots=True)
class Item:
    """One record that was read: its meaning, its reject, and the offset at which reading
    continues.
    """

    topic: str
    next_offset: int
    meaning: Input | None
    reject: Record | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """A topic cannot be read further: the registry has to be asked for this schema first."""

    offset: int
    schema_id: int


@dataclass(frozen=True, slots=True)
class _Writers:
    """The senders of commands, and the schemas of definitions and commands."""

    actor_of: ActorOf
    source: SchemaSource


def read(
    topics: Topics,
    batches: Iterable[RecordBatch],
    cursor: dict[str, int],
    now: int,
    actor_of: ActorOf = unproven,
    source: SchemaSource = FILES,
    awaited: dict[str, Awaited] | None = None,
) -> list[Item]:
    """The records at or above `cursor` (topic -> offset): first the catalog's records, then
    commands.

    So a definition that was written just before a command is known when the command is decided.
    Times in definitions are checked against `now`, UTC milliseconds. `actor_of` gives the proven
    sender of a command's record; `requested_by` is not verified. `source` has the schemas of
    definitions and commands. If the registry has to be asked for a schema first, the topic's
    remaining records are left out, and `awaited` gets an entry for the topic.
    """
    writers = _Writers(actor_of, source)
    order = (topics.catalog, topics.control, topics.shard_reports)
    items: list[Item] = []
    for topic in order:
        for batch in batches:
            if batch.topic == topic and batch.next_offset > cursor.get(topic, 0):
                some, stop = _of_batch(topics, batch, cursor.get(topic, 0), now, writers)
                items += some
                if stop is not None and awaited is not None:
                    awaited[topic] = stop
                    break
    return items


def _of_batch(
    topics: Topics, batch: RecordBatch, start: int, now: int, writers: _Writers
) -> tuple[list[Item], Awaited | None]:
    """The records of a batch from offset `start` on. The size of its rejects is limited by its own
    size.
    """
    rejects = Rejects(DEFAULT_LIMITS)
    try:
        records = unpack(batch)
    except CorruptRecords as error:
        rejects.add_batch(batch, error.code, error.detail)
        made_of_all = _written(topics, rejects.found[0])
        return [Item(batch.topic, batch.next_offset, None, made_of_all)], None
    found: list[tuple[KafkaRecord, Input | None, bool]] = []
    stop: Awaited | None = None
    for record in records:
        if record.offset >= start:
            try:
                meaning, fault = _item(topics, batch, record, now, writers)
            except SchemaAwaited as error:
                stop = Awaited(record.offset, error.schema_id)
                break
            if fault is not None:
                if batch.topic == topics.shard_reports:
                    check_schema(batch, record)
                rejects.add(batch, record, fault.code, fault.detail)
            found.append((record, meaning, fault is not None))
    made = iter(rejects.found)
    items = []
    for record, meaning, bad in found:
        one = next(made, None) if bad else None
        reject = None if one is None else _written(topics, one)
        items.append(Item(batch.topic, record.offset + 1, meaning, reject))
    return items, stop


def _item(
    topics: Topics, batch: RecordBatch, record: KafkaRecord, now: int, writers: _Writers
) -> tuple[Input | None, Undecodable | None]:
    topic = batch.topic
    position = f"{topic}-{batch.partition}-{record.offset}"
    if topic == topics.catalog:
        found, fault = definition(record, now, writers.source)
        trace = trace_of(record.headers)
        return (replace(found, trace=trace) if trace else found), fault
    try:
        return _meaning(topics, topic, record, position, writers), None
    except Undecodable as error:
        return _unreadable(topics, topic, record, position, str(error)), error


def _meaning(
    topics: Topics, topic: str, record: KafkaRecord, position: str, writers: _Writers
) -> Input | None:
    if record.value is None:
        raise Undecodable("undecodable", "the record has no value")
    if topic == topics.control:
        command = Command.from_record(codec.decode(record.value, "command", writers.source))
        command = replace(command, actor=writers.actor_of(record))
        return replace(_command(command, position), trace=trace_of(record.headers))
    report = Report.from_record(codec.decode(record.value, "report"))
    if (fault := report_fault(report)) is not None:
        raise Undecodable("undecodable", fault)
    return ReportRead(report)


def _command(command: Command, position: str) -> CommandRead | CommandUnreadable:
    fault = command_fault(command)
    if fault is None:
        return CommandRead(command, position)
    request_id = command.request_id or ""
    if is_request_id(request_id):
        return CommandUnreadable(request_id, fault, command.who)
    return CommandUnreadable(position, fault, command.who, named=False)


def definition(
    record: KafkaRecord, now: int, source: SchemaSource = FILES
) -> tuple[DefinitionRead | DefinitionUnreadable, Undecodable | None]:
    """The meaning of a catalog record, and its fault, if any."""
    key, value = _text(record.key), record.value
    if value is None:
        return DefinitionRead(key, None), None
    try:
        found = Definition.from_record(codec.decode(value, "definition", source))
        if found.key != key:
            detail = f"the record's key is {key[:80]!r}, the definition's {found.key[:80]!r}"
            raise Undecodable("undecodable", detail)
    except Undecodable as error:
        return DefinitionUnreadable(key, str(error)[:1000], words_of_bytes(value)), error
    # a clock of ours that is slow must not shut definitions out
    if (unfitness := unfit(found, max(now, record.timestamp))) is not None:
        fault = Undecodable(*unfitness)
        active = found.status is Status.ACTIVE
        # a segment's use counts through those that use it
        counts = active or found.kind == "segment"
        words = words_of_definition(found) if counts else ()
        return DefinitionUnreadable(key, str(fault)[:1000], words, active), fault
    return DefinitionRead(key, found), None


def _unreadable(
    topics: Topics, topic: str, record: KafkaRecord, position: str, detail: str
) -> Input | None:
    if topic == topics.control:
        request_id = _request_id(record.value)
        return CommandUnreadable(
            request_id or position,
            detail[:1000],
            named=bool(request_id),
            trace=trace_of(record.headers),
        )
    return None


def _request_id(value: bytes | None) -> str | None:
    """The request id in JSON that is no valid command, so that its sender gets the refusal."""
    try:
        found = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    request_id = found.get("request_id") if isinstance(found, dict) else None
    return request_id if isinstance(request_id, str) and is_request_id(request_id) else None


def _written(topics: Topics, made: Reject) -> Record:
    return Record(topics.rejected, made.key, made.value, headers=made.headers)


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")

"""Turns files into batches of records to send: Avro container files and JSON lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agents.tools.feed.blocks import MAGIC
from agents.tools.feed.opening import FileContent, guarded, opened
from agents.tools.import_avro import AvroFile
from agents.tools.import_journal import ImportPosition
from agents.tools.inspection import Inspection
from agents.tools.publish import Chunk
from agents.tools.records import TYPES, Kind, kind_of_record, plain_ids, ready, ready_record
from schemas.errors import UsageError
from schemas.records.codec import Undecodable, Unencodable
from schemas.records.registry import record_name

__all__ = ["Bad", "Batch", "RecordFiles", "TypeCount", "TypeCounts", "batches"]

BATCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that was not sent: `file:line`, or `file:record` for Avro, counted from 1."""

    where: str
    why: str


@dataclass(slots=True)
class TypeCount:
    """What became of the records of one foreign type; `topic` is empty if none is sent."""

    topic: str = ""
    sent: int = 0
    bad: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    """By reason."""

    def add(self, other: "TypeCount") -> None:
        """Add another one of the same type."""
        self.topic = other.topic or self.topic
        self.sent += other.sent
        self.bad += other.bad
        for reason, count in other.skipped.items():
            self.skipped[reason] = self.skipped.get(reason, 0) + count


@dataclass(slots=True)
class TypeCounts:
    """What became of foreign records, by type, and in how many seconds."""

    seconds: float = 0.0
    types: dict[str, TypeCount] = field(default_factory=dict)

    def count(self, name: str, more: TypeCount) -> None:
        """Add records of a type."""
        self.types.setdefault(name, TypeCount()).add(more)


@dataclass(slots=True)
class Batch:
    """Part of a file: the records to send, the bad records, and the position after it.

    `read` is the number of the file's bytes before that position, `sources` are the campaigns and
    Canvases of its events, `tallies` the records of foreign types, by type.
    """

    reached: ImportPosition
    read: int
    chunks: list[Chunk] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    tallies: dict[str, TypeCount] = field(default_factory=dict)


@dataclass(slots=True)
class _Rows:
    """Records of one kind, and the line or number of each."""

    kind: Kind
    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


class _Sorter:
    """Collects records by kind, in order, and leaves out records that would be rejected."""

    def __init__(self, file: Path, start: ImportPosition, inspection: Inspection | None) -> None:
        self._file = file
        self.ids = plain_ids if inspection is None else inspection.ids
        self._inspection = inspection
        self._records = start.records
        self._bad = start.bad
        self._blank = start.blank
        self._rows: dict[str, _Rows] = {}
        self._found: list[tuple[int, str]] = []

    def good(self, kind: Kind, key: bytes, value: bytes) -> None:
        self._records += 1
        rows = self._rows.setdefault(kind.name, _Rows(kind))
        rows.records.append((key, value))
        rows.lines.append(self._records + self._blank)

    def bad(self, why: str) -> None:
        self._records += 1
        self._found.append((self._records + self._blank, why))

    def blank(self) -> None:
        self._blank += 1

    def batch(self, position: int, read: int) -> Batch:
        chunks = [self._chunk(rows) for rows in self._rows.values()]
        self._bad += len(self._found)
        reached = ImportPosition(position, self._records, self._bad, self._blank)
        bad = [Bad(f"{self._file}:{line}", why) for line, why in sorted(self._found)]
        self._rows, self._found = {}, []
        found = set() if self._inspection is None else self._inspection.take_sources()
        return Batch(reached, read, chunks, bad, set(filter(str.isprintable, found)))

    def _chunk(self, rows: _Rows) -> Chunk:
        faults = self._inspection.faults(rows.kind, rows.records) if self._inspection else {}
        self._found += [(rows.lines[at], why) for at, why in faults.items()]
        good = [pair for at, pair in enumerate(rows.records) if at not in faults]
        return Chunk(rows.kind.topic, [key for key, _ in good], [value for _, value in good])


class RecordFiles:
    """Reads files of our own records: Avro container files, and JSON lines.

    `kind` is None if the records name their kind. Records that `inspection` finds bad are not sent.
    """

    suffixes = (".avro", ".jsonl", ".ndjson", ".json")

    def __init__(self, kind: Kind | None, inspection: Inspection | None = None) -> None:
        self.label = kind.name if kind else ""
        self._kind = kind
        self._inspection = inspection

    def batches(self, content: FileContent, start: ImportPosition) -> Iterator[Batch]:
        """The rest of a file from `start` on; an empty file gives nothing.

        Raises Fatal if the file as a whole cannot be read.
        """
        sorter = _Sorter(content.file, start, self._inspection)
        read = _avro if content.first.startswith(MAGIC) else _lines
        return guarded(content.file, read(content, self._kind, start, sorter))


def batches(
    file: Path, kind: Kind | None, start: ImportPosition, inspection: Inspection | None = None
) -> Iterator[Batch]:
    """The batches of one file of our own records, as `RecordFiles` reads it."""
    with opened(file) as content:
        yield from RecordFiles(kind, inspection).batches(content, start)


def _lines(
    content: FileContent, kind: Kind | None, start: ImportPosition, sorter: _Sorter
) -> Iterator[Batch]:
    content.skip(start.position)
    position = start.position
    while lines := content.content.readlines(BATCH_BYTES):
        for line in lines:
            position += len(line)
            if text := line.strip():
                _one_line(sorter, text, kind)
            else:
                sorter.blank()
        yield sorter.batch(position, content.read())


def _one_line(sorter: _Sorter, line: bytes, kind: Kind | None) -> None:
    try:
        own = kind or _declared(line)
        sorter.good(own, *ready(own, line, sorter.ids))
    except (Undecodable, Unencodable, UsageError) as error:
        sorter.bad(str(error))


def _declared(line: bytes) -> Kind:
    try:
        value = orjson.loads(line)
    except ValueError as error:
        raise Undecodable("bad_json", str(error)) from error
    declared = value.get("type") if isinstance(value, dict) else None
    if not isinstance(declared, str):
        raise UsageError("No type", remedy='Add "type" to the record, or give --event')
    return kind_of_record(declared)


def _avro(
    content: FileContent, kind: Kind | None, start: ImportPosition, sorter: _Sorter
) -> Iterator[Batch]:
    container = AvroFile(content.file, content.content)
    own = kind or _written(content.file, container.schema)
    for number, records in container.blocks(start.position):
        for record in records:
            _one_record(sorter, container, record, own)
        yield sorter.batch(number, content.read())


def _one_record(sorter: _Sorter, container: AvroFile, record: Any, kind: Kind | None) -> None:
    try:
        own = kind or kind_of_record(str(record.get("type")))
        plain = container.plain(own.name, record)
        sorter.good(own, *ready_record(own, plain, sorter.ids))
    except (Undecodable, Unencodable, UsageError) as error:
        sorter.bad(str(error))


def _written(file: Path, schema: Any) -> Kind | None:
    """The kind of records according to the writer's schema; None: a field `type` names it."""
    if isinstance(schema, dict):
        if (name := record_name(str(schema.get("name")))) in TYPES and name is not None:
            return kind_of_record(name)
        if any(field["name"] == "type" for field in schema.get("fields", ())):
            return None
    raise UsageError(f"{file} does not say what its records are", remedy="Give --event")

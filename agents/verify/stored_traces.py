"""Looks for users in the two logs in which a shard stores everything, without a worker.

It reads whatever the mask hides: it decodes every delta, segment and run of the shard's changelog,
and every record of its archive, one at a time. Only what was found is kept in memory.
"""

import asyncio
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from agents.verify.log_scan import LogScan
from agents.verify.segment_facts import facts_of
from schemas.decode.batch_records import KafkaRecord
from schemas.errors import EmberlineError
from schemas.segment.index import SegmentIndex
from schemas.tables import delta
from schemas.tables.erased import DIGEST_BYTES, ErasedUser
from schemas.tables.interaction import SCHEMA
from streams.kafka.environment import Environment
from streams.kafka.log import Partition
from streams.kafka.topics import Topics
from streams.state import auxiliary_table as auxiliary
from streams.state import keys
from streams.state.erasures import ErasureMarks, ErasureWork, erased_user
from streams.state.hot_table import ManifestEntry
from streams.state.stored_value import stored_value

__all__ = ["MERGED", "PLACES", "Seek", "StoredTraces", "Trace", "read_stored"]

MERGED = "merged"
PLACES = (
    *("deltas", "segments", "counts", "roster", "externals"),
    *(MERGED, "archive", "former copies"),
)
"""Where rows can be. `merged` are roster records of other users that name the user as the one into
whom they were merged; `former copies` are archived records that count no more.
"""

Seek = Callable[[str, pl.DataFrame], Mapping[str, int]]
"""Of a place and its rows: how many rows are of whom, by any name; those of nobody are left out."""

_TABLES = {
    each.delta: (name, each)
    for name, each in zip(("counts", "roster", "externals"), auxiliary.TABLES, strict=True)
}
_RUNS = {each.run for _, each in _TABLES.values()}
_PLACE_OF = {b"d": "deltas", b"s": "segments"}
_PLACE_OF |= {letter: name for name, each in _TABLES.values() for letter in (each.delta, each.run)}
_MOST_UNREAD = 100


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows of one user in one record: in a value of the changelog with its `key`, or in a record of
    the archive. `entry` is the manifest entry of an archived segment that counts.
    """

    place: str
    partition: Partition
    offset: int
    user: str
    rows: int
    key: str | None = None
    source: str | None = None
    segment: str | None = None
    entry: ManifestEntry | None = None

    @property
    def log(self) -> str:
        """Topic and partition."""
        return f"{self.partition[0]}[{self.partition[1]}]"

    def __str__(self) -> str:
        """The key, or the place in the archive."""
        return f"archive@{self.offset}" if self.key is None else self.key


@dataclass
class StoredTraces:
    """What was read of one shard so far.

    `uncompacted` counts rows in values of the changelog that a later record has replaced or
    deleted: Kafka removes them when it compacts the log. `unread` names what cannot be decoded, at
    most 100 of it.
    """

    topics: Topics
    partition: int
    partitions: int
    seek: Seek
    places: Collection[str] = PLACES
    """Where is looked."""
    found: list[Trace] = field(default_factory=list)
    uncompacted: int = 0
    unread: list[str] = field(default_factory=list)
    marks: ErasureMarks | None = None
    open: set[int] = field(default_factory=set)
    """The generations of the erasures that are not over in this shard."""
    erased: dict[bytes, ErasedUser] = field(default_factory=dict)
    """By digest: as the changelog says at its end."""
    archive_end: int = 0
    """The end of the archive before the end of the changelog was read: what lies below and counts
    has its manifest entry."""
    _held: dict[bytes, list[Trace]] = field(default_factory=dict)
    _checksums: dict[str, str] = field(default_factory=dict)
    _manifest: dict[bytes, ManifestEntry] = field(default_factory=dict)
    _works: dict[bytes, int] = field(default_factory=dict)
    _live: dict[int, tuple[bytes, ManifestEntry]] = field(default_factory=dict)
    _entries: dict[str, ManifestEntry] = field(default_factory=dict)

    def changelog(self, records: Sequence[KafkaRecord]) -> None:
        """Take records of the changelog, in order."""
        for record in records:
            if record.key is None:
                continue
            former = self._held.pop(record.key, ())
            self.uncompacted += sum(trace.rows for trace in former)
            self._note(record.key, record.value)
            if record.value is not None:
                traces = list(self._in_value(record.key, record.value, record.offset))
                if traces:
                    self._held[record.key] = traces

    def end(self) -> None:
        """What has not been replaced or deleted counts. The archive comes next."""
        for traces in self._held.values():
            self.found += traces
        self.open = set(self._works.values())
        self._live = {entry.offset: (key, entry) for key, entry in self._manifest.items()}
        named = ((keys.manifest_entry_parts(key), one) for key, one in self._manifest.items())
        self._entries = {segment: entry for (_, segment), entry in named}

    def entry_of(self, segment: str | None) -> ManifestEntry | None:
        """The manifest entry of a segment; None if it is not in the archive. After `end`."""
        return self._entries.get(segment or "")

    def archive(self, records: Sequence[KafkaRecord]) -> None:
        """Take records of the archive."""
        log = self.topics.archive, self.partition
        for record in records:
            headers = {name: value or b"" for name, value in record.headers}
            checksum = headers.get("checksum", b"").decode(errors="replace")
            data, where = record.value or b"", f"archive@{record.offset}"
            facts, rows = facts_of(data, {checksum}, self.partition, self.partitions)
            if rows is None:
                self._cannot(where, facts.fault or "another checksum")
                continue
            key, entry = self._live.get(record.offset, (None, None))
            place = "archive" if key is not None else "former copies"
            source = next(iter(facts.sources), None)
            segment = headers.get("segment", b"").decode(errors="replace")
            for user, count in self.seek(place, rows).items():
                trace = Trace(place, log, record.offset, user, count, None, source, segment, entry)
                self.found.append(trace)

    def _in_value(self, key: bytes, value: bytes, offset: int) -> Iterator[Trace]:
        place, rows = _place(key), self._rows(key, value)
        if rows is None:
            return
        log = self.topics.changelog, self.partition
        segment = keys.name(key) if place == "segments" else None
        made = Trace(place, log, offset, "", 0, key.decode(errors="replace"), segment=segment)
        for each in (place, MERGED) if place == "roster" else (place,):
            for user, count in self.seek(each, rows).items():
                yield replace(made, place=each, user=user, rows=count)

    def _note(self, key: bytes, value: bytes | None) -> None:
        """Checksums of segments, entries of the manifest, and how far erasures are."""
        if value is None:
            self._manifest.pop(key, None)
            self._works.pop(key, None)
            return
        try:
            match keys.kind(key):
                case b"i":
                    index = SegmentIndex.from_json(value)
                    self._checksums[index.id] = index.checksum
                case b"m":
                    self._manifest.pop(key, None)
                    self._manifest[key] = stored_value(ManifestEntry, value)
                case b"z":
                    self.marks = ErasureMarks.of(value)
                case b"j":
                    self._works[key] = ErasureWork.of(value).generation
                case b"g":
                    user = erased_user(key, value)
                    self.erased[user.token[:DIGEST_BYTES]] = user
        except (ValueError, KeyError, TypeError, struct.error) as error:
            self._cannot(key.decode(errors="replace"), str(error))

    def _rows(self, key: bytes, value: bytes) -> pl.DataFrame | None:
        kind = keys.kind(key)
        if _place(key) not in self.places:
            return None
        try:
            if kind == b"d":
                return delta.decode(value, SCHEMA)
            if kind in _TABLES:
                return delta.decode(value, _TABLES[kind][1].schema)
            if kind in _RUNS:
                return auxiliary.decode(value)
        except EmberlineError as error:
            self._cannot(key.decode(errors="replace"), error.message)
            return None
        expected = {self._checksums.get(keys.name(key), "")}
        facts, rows = facts_of(value, expected, self.partition, self.partitions)
        if rows is None:
            self._cannot(key.decode(errors="replace"), facts.fault or "another checksum")
        return rows

    def _cannot(self, where: str, why: str) -> None:
        if len(self.unread) < _MOST_UNREAD:
            self.unread.append(f"{where}: {why}")


async def read_stored(
    environment: Environment,
    stored: StoredTraces,
    *,
    passed: Callable[[int], None] = lambda _: None,
) -> None:
    """Read a shard's changelog, and its archive if that is one of the places; `passed` is told how
    many offsets were read. Raises `LogStuck`.
    """
    admin, shard = environment.kafka.admin, stored.partition
    changelog, archived = (stored.topics.changelog, shard), (stored.topics.archive, shard)

    async def read(scan: LogScan, end: int, take: Callable[[Sequence[KafkaRecord]], None]) -> None:
        async for batch in scan.until(end):
            await asyncio.to_thread(take, batch.records)
            passed(batch.last + 1 - batch.first)
            for finding in batch.findings():
                stored.unread.append(f"{finding.where}: {finding.what}")

    begins = await admin.bounds([changelog, archived])
    stored.archive_end = begins[archived][1]
    async with LogScan(environment, changelog, begins[changelog][0]) as scan:
        await read(scan, await scan.log_end(), stored.changelog)
        # the last read may have ended within a step
        await read(scan, (await admin.bounds([changelog]))[changelog][1], stored.changelog)
    stored.end()
    if "archive" in stored.places:
        async with LogScan(environment, archived, begins[archived][0]) as scan:
            await read(scan, (await admin.bounds([archived]))[archived][1], stored.archive)


def _place(key: bytes) -> str:
    """Empty for a value without rows of users."""
    return _PLACE_OF.get(keys.kind(key), "")

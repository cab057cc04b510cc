"""Looks for one user in the two logs in which a shard stores everything, without a worker.

It proves that an erased user is gone, whatever the mask hides: it decodes every delta, segment and
run of the shard's changelog, and every record of its archive, one at a time.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from agents.verify.log_scan import LogScan
from agents.verify.segment_facts import facts_of
from schemas.decode.batch_records import KafkaRecord
from schemas.errors import EmberlineError, UsageError
from schemas.segment.index import SegmentIndex
from schemas.tables import delta
from schemas.tables.interaction import SCHEMA
from schemas.tables.placement import partition_of
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.state import auxiliary_table as auxiliary
from streams.state import keys

__all__ = ["PLACES", "UserTraces", "user_traces"]

PLACES = ("deltas", "segments", "counts", "roster", "externals", "archive", "former copies")
"""Where rows can be; `former copies` are archived records that count no more."""

_TABLES = {
    each.delta: (name, each)
    for name, each in zip(("counts", "roster", "externals"), auxiliary.TABLES, strict=True)
}
_RUNS = {each.run: name for name, each in _TABLES.values()}
_MOST = 100


@dataclass
class UserTraces:
    """Rows of one user in one shard: `rows` by place, and `where` they are, at most 100 of them.

    `uncompacted` counts rows in values of the changelog that a later record has replaced or
    deleted: Kafka removes them when it compacts the log. `unread` names what cannot be decoded.
    """

    user: str
    shard: int
    rows: Counter[str] = field(default_factory=Counter)
    uncompacted: int = 0
    where: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def gone(self) -> bool:
        """Whether everything was read and nothing that counts, or is still stored, has a row."""
        return not self.rows.total() and not self.unread

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "user": self.user,
            "shard": self.shard,
            "gone": self.gone,
            "rows": {place: self.rows[place] for place in PLACES},
            "uncompacted": self.uncompacted,
            "where": self.where,
            "unread": self.unread,
        }


async def user_traces(environment: Environment, user: str) -> UserTraces:
    """Everything that is stored of a user. Raises `LogStuck` if a log cannot be read, `UsageError`
    if the setting partitions is another one than the workers'.
    """
    settings, topics = environment.settings, Topics(environment.settings.prefix)
    there = len(await environment.kafka.admin.partitions([topics.changelog]))
    if there != settings.partitions:
        # another number of shards gives another shard, in which nothing is of the user
        raise UsageError(
            f"{topics.changelog} has {there} partitions, the setting partitions is "
            f"{settings.partitions}",
            remedy=f"Give --partitions {there}",
        )
    shard = int(partition_of(pl.Series([user], dtype=pl.String), settings.partitions)[0])
    found = UserTraces(user, shard)
    reading = _Reading(found, settings.partitions)
    logs = ((topics.changelog, reading.changelog), (topics.archive, reading.archive))
    for topic, take in logs:
        partition = (topic, shard)
        start, end = (await environment.kafka.admin.bounds([partition]))[partition]
        async with LogScan(environment, partition, start) as scan:
            async for batch in scan.until(end):
                await asyncio.to_thread(take, batch.records)
                if batch.fault is not None:
                    where = f"{topic}[{shard}]@{batch.first}"
                    found.unread.append(f"{where}: {batch.fault}")
        if topic == topics.changelog:
            reading.end()
    return found


@dataclass
class _Reading:
    """What was read so far: rows of the user by key, and what is needed to read segments."""

    found: UserTraces
    partitions: int
    held: dict[bytes, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    offsets: dict[bytes, int] = field(default_factory=dict)

    def changelog(self, records: Sequence[KafkaRecord]) -> None:
        """Take records of the changelog, in order."""
        for record in records:
            if record.key is None:
                continue
            self.found.uncompacted += self.held.pop(record.key, 0)
            self._note(record.key, record.value)
            rows = None if record.value is None else self._rows(record.key, record.value)
            if rows is not None and (count := self._of(rows)):
                self.held[record.key] = count

    def end(self) -> None:
        """What has not been replaced or deleted counts."""
        for key, count in self.held.items():
            self._add(_place(key), count, key.decode(errors="replace"))

    def archive(self, records: Sequence[KafkaRecord]) -> None:
        """Take records of the archive."""
        live = set(self.offsets.values())
        for record in records:
            headers = {name: value or b"" for name, value in record.headers}
            checksum = headers.get("checksum", b"").decode(errors="replace")
            data, where = record.value or b"", f"archive@{record.offset}"
            facts, rows = facts_of(data, {checksum}, self.found.shard, self.partitions)
            if rows is None:
                self.found.unread.append(f"{where}: {facts.fault or 'another checksum'}")
            elif count := self._of(rows):
                place = "archive" if record.offset in live else "former copies"
                self._add(place, count, where)

    def _note(self, key: bytes, value: bytes | None) -> None:
        """Checksums of segments, and offsets of the manifest."""
        try:
            if keys.kind(key) == b"i" and value is not None:
                index = SegmentIndex.from_json(value)
                self.checksums[index.id] = index.checksum
            elif keys.kind(key) == b"m":
                self.offsets.pop(key, None)
                if value is not None:
                    self.offsets[key] = int(json.loads(value)["offset"])
        except (ValueError, KeyError, TypeError) as error:
            self.found.unread.append(f"{key.decode(errors='replace')}: {error}")

    def _rows(self, key: bytes, value: bytes) -> pl.DataFrame | None:
        kind = keys.kind(key)
        try:
            if kind == b"d":
                return delta.decode(value, SCHEMA)
            if kind in _TABLES:
                return delta.decode(value, _TABLES[kind][1].schema)
            if kind in _RUNS:
                return auxiliary.decode(value)
        except EmberlineError as error:
            self.found.unread.append(f"{key.decode(errors='replace')}: {error.message}")
            return None
        if kind != b"s":
            return None
        expected = {self.checksums.get(keys.name(key), "")}
        facts, rows = facts_of(value, expected, self.found.shard, self.partitions)
        if rows is None:
            why = facts.fault or "another checksum"
            self.found.unread.append(f"{key.decode(errors='replace')}: {why}")
        return rows

    def _of(self, rows: pl.DataFrame) -> int:
        return int((rows["user"] == self.found.user).sum())

    def _add(self, place: str, count: int, where: str) -> None:
        self.found.rows[place] += count
        if len(self.found.where) < _MOST:
            self.found.where.append(where)


def _place(key: bytes) -> str:
    kind = keys.kind(key)
    if kind == b"d":
        return "deltas"
    if kind == b"s":
        return "segments"
    return _RUNS.get(kind) or _TABLES[kind][0]

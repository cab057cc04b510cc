"""Logs in memory that a test changes at will: the recorded deployment of the upgrade test.

A batch has the records of consecutive offsets. Readers and admin only: nothing can be written
through the seam.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from schemas.decode.batch import SealedBatch, seal_batches
from schemas.decode.batch_records import KafkaRecord, RecordBatch
from streams.kafka.log import DEFAULT_OPTIONS, LostRange, Partition, ReaderOptions
from streams.kafka.topic_specs import TopicLayout, TopicProblem, Topics, compare, specs
from streams.settings import Settings
from tests.rigs.cursor_reader import CursorReader
from tests.rigs.record_batches import NOW, Produced, wire

__all__ = ["KeptLog", "KeptPartition"]

_TRANSACTIONAL = 0x10
_PER_BATCH = 20


@dataclass
class KeptPartition:
    """Records by offset, and where the log begins and ends (last stable offset)."""

    start: int = 0
    end: int = 0
    records: dict[int, KafkaRecord] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)
    """Offsets of records whose batch does not match its checksum."""
    plain: set[int] = field(default_factory=set)
    """Offsets of records that were written outside of transactions."""

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        *,
        transactional: bool = True,
    ) -> int:
        """A record and the marker behind it; its offset."""
        offset = self.end
        time = max((one.timestamp for one in self.records.values()), default=NOW)
        self.records[offset] = KafkaRecord(offset, time, key, value, headers)
        if not transactional:
            self.plain.add(offset)
        self.end = offset + (2 if transactional else 1)
        return offset

    def change(self, offset: int, **fields: Any) -> None:
        """Other contents at an offset."""
        self.records[offset] = self.records[offset]._replace(**fields)

    def last(self, key: bytes) -> KafkaRecord:
        """The latest record of a key."""
        return next(one for _, one in sorted(self.records.items(), reverse=True) if one.key == key)

    def sealed(self, partition: Partition, begin: int) -> list[SealedBatch]:
        """All batches that end behind `begin`."""
        found: list[SealedBatch] = []
        offsets = sorted(self.records)
        runs = groupby(
            enumerate(offsets),
            lambda pair: (pair[1] - pair[0], pair[0] // _PER_BATCH, pair[1] in self.plain),
        )
        for _, run in runs:
            some = [offset for _, offset in run]
            if some[-1] < begin:
                continue
            made = [
                Produced(one.value, one.key, one.timestamp, list(one.headers))
                for one in map(self.records.__getitem__, some)
            ]
            attributes = 0 if some[0] in self.plain else _TRANSACTIONAL
            raw = bytearray(wire(made, base_offset=some[0], attributes=attributes))
            if self.broken.intersection(some):
                raw[-3] ^= 0x40
            batches = seal_batches(bytes(raw), *partition, check_crc=False)
            found += [batch for _, batch in batches if batch is not None]
        return found


@dataclass
class KeptLog:
    """All topics of one deployment. `configs` are the topics' settings where they differ."""

    settings: Settings
    partitions: dict[Partition, KeptPartition]
    other_configs: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    address: str = "kept"

    @classmethod
    def of(cls, fixture: Path, settings: Settings) -> "KeptLog":
        """A recorded deployment."""
        spans = json.loads((fixture / "spans.json").read_text())
        kept = {
            (settings.prefix + name, int(number)): KeptPartition(*span)
            for name, found in spans.items()
            for number, span in found.items()
        }
        present = Topics(settings.prefix)
        for topic in present.all():
            kept.setdefault((topic, 0), KeptPartition())
        for row in pl.read_parquet(fixture / "records.parquet").iter_rows(named=True):
            headers = tuple((one["name"], one["value"]) for one in row["headers"])
            record = KafkaRecord(row["offset"], row["time"], row["key"], row["value"], headers)
            kept[settings.prefix + row["topic"], row["partition"]].records[row["offset"]] = record
        for partition in kept:
            if partition[0] in (*present.events.values(), present.users, present.catalog):
                kept[partition].plain.update(kept[partition].records)
        return cls(settings, kept)

    def __getitem__(self, partition: Partition) -> KeptPartition:
        return self.partitions[partition]

    @property
    def admin(self) -> Any:
        return _KeptAdmin(self)

    def reader(
        self, cursor: Mapping[Partition, int], options: ReaderOptions = DEFAULT_OPTIONS
    ) -> Any:
        return _KeptReader(self, cursor)

    def writer(self, transactional_id: str) -> Any:
        raise NotImplementedError("a test writes by itself")

    def appender(self, name: str = "appender") -> Any:
        raise NotImplementedError("a test writes by itself")


class _KeptAdmin:
    def __init__(self, log: KeptLog) -> None:
        self._log = log

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        return {one: (self._log[one].start, self._log[one].end) for one in partitions}

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        return sorted(one for one in self._log.partitions if one[0] in topics)

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        return {topic: self._log.ids[topic] for topic in topics if topic in self._log.ids}

    async def configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        wanted = {spec.name: dict(spec.configs) for spec in specs(self._log.settings)}
        return {topic: wanted[topic] | self._log.other_configs.get(topic, {}) for topic in topics}

    async def lacking(
        self, wanted: Mapping[str, Collection[str]], transactional_id: str
    ) -> list[str]:
        """None: there are no rights here."""
        return []

    async def inspect(self) -> tuple[list[TopicProblem], dict[str, TopicLayout]]:
        there: dict[str, TopicLayout] = {}
        for topic, _ in self._log.partitions:
            count = there[topic].partitions if topic in there else 0
            there[topic] = TopicLayout(count + 1, 1, self._log.ids.get(topic, "0" * 32))
        found = await self.configs(there)
        problems = []
        for spec in specs(self._log.settings):
            layout = there.get(spec.name)
            count_ = None if layout is None else layout.partitions
            problems += compare(spec, count_, found.get(spec.name, {}), replicas=1)
        return problems, there


class _KeptReader(CursorReader):
    def __init__(self, log: KeptLog, cursor: Mapping[Partition, int]) -> None:
        super().__init__(cursor)
        self._log = log

    async def fetch_sealed(self, max_wait_ms: int = 0) -> list[SealedBatch]:
        """Some hundred kilobytes of each partition."""
        found: list[SealedBatch] = []
        for partition, position in self._positions.items():
            kept = self._log[partition]
            if not kept.start <= position <= kept.end:
                raise LostRange(partition, position, log=(kept.start, kept.end))
            batches = kept.sealed(partition, position)
            some = batches[:10]
            found += some
            end = some[-1].next_offset if len(some) < len(batches) else kept.end
            self._positions[partition] = end
        return found

    async def fetch(self, max_wait_ms: int = 0) -> list[RecordBatch]:
        return [batch.opened() for batch in await self.fetch_sealed()]

    async def progress(self, silence_s: float = 0.0) -> list[RecordBatch]:
        return await self.fetch()

    def lag(self, cursor: Mapping[Partition, int]) -> dict[Partition, int]:
        return {one: self._log[one].end - at for one, at in cursor.items()}

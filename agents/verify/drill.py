"""`--drill`: restores sampled sources into a scratch store, as a shard does, and compares.

The archived records are read by the reader of a restore, written to a store of its own, loaded as a
shard loads its state, and read as answers read rows. So the whole way back is tried, and nothing of
the deployment changes.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

from agents.verify.finding import Where, found
from agents.verify.kinds import FindingKind
from agents.verify.report import VerifyReport
from agents.verify.shards import PinnedImage
from schemas.errors import CorruptSegment
from schemas.segment.index import SegmentIndex, verified
from schemas.tables.placement import partition_of
from streams.kafka.environment import Environment
from streams.kafka.topic_specs import Topics
from streams.state import keys
from streams.state.archive import ArchiveDamage, ArchiveReader
from streams.state.changelog import load
from streams.state.hot_table import ManifestEntry
from streams.state.range_scan import range_scan
from streams.state.state_store import StateStore, shared_cache

__all__ = ["Drill"]

_CACHE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class _Part:
    """One shard's part of a source, and where its archive began then."""

    shard: int
    entries: Mapping[str, ManifestEntry]
    archive_start: int


@dataclass
class Drill:
    """`take` each shard, then `run`. `sources` are those to restore; `folder` is for the stores."""

    environment: Environment
    sources: frozenset[str]
    folder: Path
    report: VerifyReport
    _parts: dict[str, list[_Part]] = field(default_factory=dict)

    def take(self, pinned: PinnedImage) -> None:
        """Note what a shard's manifest has of the sources at its moment."""
        manifest = pinned.image.by_source()
        for source in sorted(self.sources & manifest.keys()):
            part = _Part(pinned.image.partition, manifest[source], pinned.archive_start)
            self._parts.setdefault(source, []).append(part)

    async def run(self) -> None:
        """Restore and compare every source."""
        began = self.environment.clock.monotonic_s()
        for source, parts in sorted(self._parts.items()):
            for part in parts:
                await self._restore(source, part)
            self.report.figures.update(drilled_sources=1)
        self.report.drill_seconds = self.environment.clock.monotonic_s() - began

    async def _restore(self, source: str, part: _Part) -> None:
        topic = Topics(self.environment.settings.prefix).archive
        where = Where(topic, part.shard, source=source)
        folder = self.folder / f"drill-{len(list(self.folder.iterdir()))}"
        store = StateStore(folder, shared_cache(_CACHE_BYTES), self.environment.clock)
        try:
            damages = await self._bring(part, store)
            bounds = await self.environment.kafka.admin.bounds([(topic, part.shard)])
            if damages and bounds[topic, part.shard][0] > part.archive_start:
                self.report.unchecked.append(
                    f"the drill of {source} in shard {part.shard}: its archive was moved meanwhile"
                )
                return
            for damage in damages:
                at = replace(where, offset=damage.offset, segment=damage.segment)
                self._add(at, f"the record cannot be brought back: {damage.what}")
            for what in () if damages else await self._compared(source, part, store):
                self._add(where, what)
        except CorruptSegment as error:
            self._add(where, error.message)
        finally:
            await asyncio.to_thread(store.close)

    async def _bring(self, part: _Part, store: StateStore) -> list[ArchiveDamage]:
        """As agents/shard/jobs/restore.py does; the records that cannot be brought back."""
        archive = ArchiveReader(self.environment.settings, self.environment.kafka, part.shard)
        position = 0
        damages: list[ArchiveDamage] = []
        try:
            async with aclosing(archive.read(part.entries)) as reading:
                async for each in reading:
                    if isinstance(each, ArchiveDamage):
                        damages.append(each)
                        continue
                    index, data = each.index, each.data
                    position += 1
                    puts = [(keys.index(index.id), index.to_json())]
                    puts.append((keys.segment(index.id), data))
                    await asyncio.to_thread(store.apply, puts, position)
                    self.report.figures.update(drilled_bytes=len(data))
        finally:
            await archive.close()
        return damages

    async def _compared(self, source: str, part: _Part, store: StateStore) -> list[str]:
        """What is wrong with what came back."""
        table = await asyncio.to_thread(load, store)
        segments = table.segments_of(source)
        back = {index.id: (index.checksum, index.rows) for index in segments}
        wanted = {name: (entry.checksum, entry.rows) for name, entry in part.entries.items()}
        wrong = []
        if back != wanted:
            names = sorted(name for name in wanted if back.get(name) != wanted[name])
            wrong.append(f"{len(back)} segments came back, not {names[:3]} as the manifest says")

        def bytes_of(index: SegmentIndex) -> bytes:
            return verified(index, store.get(keys.segment(index.id)) or b"")

        rows = misplaced = 0
        async for frame in range_scan(source, segments, (), bytes_of):
            rows += frame.height
            shards = partition_of(frame["user"], self.environment.settings.partitions)
            misplaced += int((shards != part.shard).sum())
        stored = sum(entry.rows for entry in part.entries.values())
        if not 0 < rows <= stored:
            wrong.append(f"{rows} rows are readable, of {stored} stored ones")
        if misplaced:
            wrong.append(f"{misplaced} rows are of users of other shards")
        self.report.figures.update(drilled_rows=rows, drilled_segments=len(back))
        return wrong

    def _add(self, where: Where, what: str) -> None:
        self.report.add([found(FindingKind.DRILL_FAILED, where, what)])

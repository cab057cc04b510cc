"""Restore in a shard: copies every archived segment of the sources back into the hot table.

The job writes back the manifest's entries as of its start, verifies each by id and checksum, and
reports the set. The rows stay hidden until all shards have done so. A source with a damaged record
is reported as failed, and the other sources are restored.
"""

from collections.abc import AsyncGenerator, Mapping

from agents.shard.jobs.context import ReportItem, ShardContext
from agents.shard.jobs.reports import PROGRESS_S, PROGRESS_SOURCES, restored, trouble
from schemas.records.lifecycle import Phase, State
from streams.state import keys
from streams.state.archive import ArchiveDamage, ArchivedSegment
from streams.state.hot_table import Applied, ManifestEntry
from streams.state.store import Put, Step

__all__ = ["Restore"]


class Restore:
    """Restores sources; `versions` maps each source to its version and epoch.

    `failed` has the sources that were reported as failed.
    """

    def __init__(self, context: ShardContext, versions: Mapping[str, tuple[int, int]]) -> None:
        self._context = context
        self._versions = {source: version for source, (version, _) in versions.items()}
        table = context.store.table
        self._entries = {source: dict(table.manifest.get(source, {})) for source in versions}
        self._missing: dict[str, ManifestEntry] = {
            segment_id: entry
            for entries in self._entries.values()
            for segment_id, entry in entries.items()
            if segment_id not in table.segments
        }
        self._source_of = {
            segment_id: source
            for source, entries in self._entries.items()
            for segment_id in entries
        }
        self.failed: set[str] = set()
        self._left = {source: _left(self._entries[source], self._missing) for source in versions}
        self._changed: dict[str, None] = {}
        self._reading: AsyncGenerator[ArchivedSegment | ArchiveDamage, None] | None = None
        self._told = context.clock.monotonic_s()
        self._done = False

    @property
    def versions(self) -> Mapping[str, int]:
        """The sources that are still worked on, with their versions."""
        return self._versions

    async def step(self) -> bool:
        """Does the next step; False once the job is done.

        Raises `Fenced`, `StepFailed`, `ArchiveSilent`.
        """
        if self._missing:
            await self._bring()
            return True
        if not self._done:
            self._done = True
            await self._report()
            return True
        return False

    async def _bring(self) -> None:
        context = self._context
        if self._reading is None:
            self._reading = context.archive.read(self._missing.copy(), self._source_of)
        puts: list[Put] = []
        told: list[ReportItem] = []
        weight = 0
        begun = context.clock.monotonic_s()
        while self._missing and (not puts or weight < context.work_bytes):
            # a record that cannot be read takes seconds: its source is reported meanwhile
            if told and context.clock.monotonic_s() > begun + PROGRESS_S:
                break
            found = await anext(self._reading)
            source = self._source_of[found.segment]
            if source in self.failed:
                continue
            if isinstance(found, ArchiveDamage):
                told.append(trouble(Phase.FAILED, source, self._versions[source], found))
                self._fail(source)
                continue
            index, data = found.index, found.data
            puts += [(keys.index(index.id), index.to_json()), (keys.segment(index.id), data)]
            weight += len(data)
            del self._missing[index.id]
            segments, size = self._left[source]
            self._left[source] = (segments - 1, size - index.bytes)
            self._changed[source] = None
        if not self._missing:
            await self.close()
        told += self._progress()
        await context.store.commit(Step(puts=puts, records=context.reports(told)))

    def _fail(self, source: str) -> None:
        """Leave a source alone: nothing more of it is read, and nothing else reported."""
        self.failed.add(source)
        del self._versions[source]
        self._changed.pop(source, None)
        for segment_id in self._entries[source]:
            self._missing.pop(segment_id, None)

    def _progress(self) -> list[ReportItem]:
        if not self._missing or self._context.clock.monotonic_s() < self._told + PROGRESS_S:
            return []
        self._told = self._context.clock.monotonic_s()
        some = list(self._changed)[-PROGRESS_SOURCES:]
        self._changed.clear()
        return [self._progress_of(source) for source in some if self._left[source][0]]

    def _progress_of(self, source: str) -> ReportItem:
        """What is done of a source; one of which nothing is left is reported as restored soon."""
        entries, (segments, size) = self._entries[source], self._left[source]
        return {
            "source": source,
            "version": self._versions[source],
            "phase": "progress",
            "done": len(entries) - segments,
            "total": len(entries),
            "bytes": sum(entry.bytes for entry in entries.values()) - size,
        }

    async def _report(self) -> None:
        table = self._context.store.table
        recent = table.deltas.sources()
        puts: list[Put] = []
        items: list[ReportItem] = []
        for source, version in self._versions.items():
            puts.append((keys.applied(source), Applied(version, State.RESTORING).to_json()))
            if source in table.uniques:
                # every row is hot again: from here on they are counted where they lie
                pieces = range(table.uniques[source])
                puts += [(keys.uniques_piece(source, piece), None) for piece in pieces]
            items.append(restored(table, source, version, self._entries[source], recent))
        if items:
            records = self._context.reports(items)
            await self._context.store.commit(Step(puts=puts, records=records))

    async def close(self) -> None:
        """Ends the reading of the archive."""
        if self._reading is not None:
            await self._reading.aclose()


def _left(
    entries: Mapping[str, ManifestEntry], missing: Mapping[str, ManifestEntry]
) -> tuple[int, int]:
    """Segments and bytes that are not there yet."""
    left = [entry.bytes for name, entry in entries.items() if name in missing]
    return len(left), sum(left)

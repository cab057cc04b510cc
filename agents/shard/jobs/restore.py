"""Restore in a shard: copies every archived segment of the sources back into the hot table.

The job writes back the manifest's entries as of its start, verifies each by id and checksum, and
reports the set. The rows stay hidden until all shards have done so.
"""

from collections.abc import AsyncGenerator, Mapping

from agents.shard.jobs.context import ReportItem, ShardContext
from agents.shard.jobs.reports import PROGRESS_S, PROGRESS_SOURCES, restored
from schemas.records.lifecycle import State
from schemas.segment.index import SegmentIndex
from streams.state import keys
from streams.state.hot_table import Applied, ManifestEntry
from streams.state.store import Put, Step

__all__ = ["Restore"]


class Restore:
    """Restores sources; `versions` maps each source to its version and epoch."""

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
        self._left = {source: _left(self._entries[source], self._missing) for source in versions}
        self._changed: dict[str, None] = {}
        self._reading: AsyncGenerator[tuple[SegmentIndex, bytes], None] | None = None
        self._told = context.clock.monotonic_s()
        self._done = False

    async def step(self) -> bool:
        """Does the next step; False once the job is done.

        Raises `Fenced`, `StepFailed`, `ArchiveMismatch`.
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
            self._reading = context.archive.read(self._missing.copy())
        puts: list[Put] = []
        weight = 0
        while self._missing and (not puts or weight < context.work_bytes):
            index, data = await anext(self._reading)
            puts += [(keys.index(index.id), index.to_json()), (keys.segment(index.id), data)]
            weight += len(data)
            del self._missing[index.id]
            (source,) = index.sources
            segments, size = self._left[source]
            self._left[source] = (segments - 1, size - index.bytes)
            self._changed[source] = None
        if not self._missing:
            await self.close()
        await context.store.commit(Step(puts=puts, records=context.reports(self._progress())))

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
        await self._context.store.commit(Step(puts=puts, records=self._context.reports(items)))

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

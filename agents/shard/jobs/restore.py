"""Restore in a shard: copies every archived segment of the sources back into the hot table.

The job writes back the manifest's entries as of its start, verifies each by id and checksum, and
reports the set. The rows stay hidden until all shards have done so.
"""

from collections.abc import AsyncIterator, Mapping

from agents.shard.jobs.context import ReportItem, ShardContext
from agents.shard.jobs.reports import restored
from schemas.records.lifecycle import State
from schemas.segment.index import SegmentIndex
from streams.state import archive, keys
from streams.state.hot_table import Applied, ManifestEntry
from streams.state.store import Put, Step

__all__ = ["Restore"]

_PROGRESS_S = 1.0


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
        self._total = len(self._missing)
        self._reading: AsyncIterator[tuple[SegmentIndex, bytes]] | None = None
        self._told = context.clock.monotonic_s()
        self._done = False

    @property
    def sources(self) -> set[str]:
        """The sources of this job."""
        return set(self._versions)

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
            self._reading = archive.read(
                context.settings, context.kafka, context.partition, self._missing.copy()
            )
        puts: list[Put] = []
        weight = 0
        while self._missing and (not puts or weight < context.work_bytes):
            index, data = await anext(self._reading)
            puts += [(keys.index(index.id), index.to_json()), (keys.segment(index.id), data)]
            weight += len(data)
            del self._missing[index.id]
        await context.store.commit(Step(puts=puts, records=context.reports(self._progress())))

    def _progress(self) -> list[ReportItem]:
        if not self._missing or self._context.clock.monotonic_s() < self._told + _PROGRESS_S:
            return []
        self._told = self._context.clock.monotonic_s()
        done = self._total - len(self._missing)
        return [
            {
                "source": source,
                "version": version,
                "phase": "progress",
                "done": done,
                "total": self._total,
            }
            for source, version in self._versions.items()
        ]

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
        """Ends the reading of the archive if the job is abandoned."""
        if self._reading is not None and hasattr(self._reading, "aclose"):
            await self._reading.aclose()

"""What a shard reports of sources that it has expired or restored, and reports once more.

A report may be lost: its topic made anew, or skipped. The coordinator then waits for it, and the
source stays hidden. So what a shard has done, while the lifecycle still asks for it, is told
again after a while. Telling twice does no harm.
"""

from collections.abc import Mapping

from agents.shard.jobs.context import ReportItem, ShardContext, stopwatch
from schemas.records.lifecycle import State
from schemas.segment.set_checksum import set_checksum
from streams.period import seconds
from streams.state.hot_table import HotTable, ManifestEntry
from streams.state.store import Step

__all__ = ["Reminder", "expired", "restored"]

#: A report that has just gone out is taken in within this.
_FIRST_S = 30.0
_LOOK_S = 5.0
_PER_STEP = 2_000


def expired(table: HotTable, source: str, version: int) -> ReportItem:
    """All of the source that was hot is in the archive."""
    entries = table.manifest.get(source, {})
    return {"source": source, "version": version, "phase": "expired", **_archived(entries)}


def restored(
    table: HotTable,
    source: str,
    version: int,
    entries: Mapping[str, ManifestEntry],
    recent: Mapping[str, int],
) -> ReportItem:
    """All of the source that was in the archive, at `entries`, is hot again; `recent` are the
    rows in the deltas by source."""
    brought = sum(entry.rows for entry in entries.values())
    hot = table.rows_in_segments(source) + recent.get(source, 0)
    return {
        "source": source,
        "version": version,
        "phase": "restored",
        "late_interactions": max(0, hot - brought),
        **_archived(entries),
    }


def _archived(entries: Mapping[str, ManifestEntry]) -> ReportItem:
    """What a source has in the archive: rows, bytes, segments, and a checksum over the set."""
    return {
        "interactions": sum(entry.rows for entry in entries.values()),
        "bytes": sum(entry.bytes for entry in entries.values()),
        "segments": len(entries),
        "checksum": set_checksum((name, entry.checksum) for name, entry in entries.items()),
    }


class Reminder:
    """Reports once more, `first_s` seconds after it is first seen to be waited for, and then as
    often as the coordinator looks for shards that are late.
    """

    def __init__(self, context: ShardContext, first_s: float = _FIRST_S) -> None:
        self._context = context
        self._first_s = first_s
        self._every_s = seconds(context.settings.shard_deadline)
        #: Version and when to tell of it, by source; looked at again from `_look_at` on.
        self._due: dict[str, tuple[int, float]] = {}
        self._look_at = 0.0

    async def step(self) -> bool:
        """Tells of what is due; False where nothing is. Raises `Fenced`, `StepFailed`."""
        if stopwatch() < self._look_at:
            return False
        self._look_at = stopwatch() + min(_LOOK_S, self._first_s)
        items = self._items()
        if items:
            await self._context.store.commit(Step(records=self._context.reports(items)))
        return bool(items)

    def _items(self) -> list[ReportItem]:
        table, now = self._context.store.table, stopwatch()
        former, self._due = self._due, {}
        recent = table.deltas.sources()
        items: list[ReportItem] = []
        for record in self._context.view.in_states([State.EXPIRING, State.RESTORING]):
            source, version = record.source, record.version
            done = table.applied.get(source)
            if done is None or (done.version, done.state) != (version, record.state):
                continue
            known, at = former.get(source, (version, now + self._first_s))
            if known == version and at <= now and len(items) < _PER_STEP:
                if record.state == State.EXPIRING:
                    items.append(expired(table, source, version))
                else:
                    entries = table.manifest.get(source, {})
                    items.append(restored(table, source, version, entries, recent))
                at = now + self._every_s
            self._due[source] = (version, at if known == version else now + self._first_s)
        return items

"""Reports of a shard about sources that it has expired or restored, and their repetition.

A report may be lost, if its topic is created again, or skipped by an operator. Then the coordinator
waits for it, and the source stays hidden. So a shard repeats its report after a while, as long as
the lifecycle still waits for it. Repeated reports do no harm.
"""

import re
from collections.abc import Mapping

from agents.shard.jobs.context import ReportItem, ShardContext
from agents.shard.jobs.trouble import Trouble
from schemas.records.lifecycle import TROUBLE_TEXT, Phase, State
from schemas.segment.set_checksum import set_checksum
from streams.period import seconds
from streams.state.hot_table import HotTable, ManifestEntry
from streams.state.store import Step

__all__ = ["PROGRESS_S", "PROGRESS_SOURCES", "Reminder", "expired", "restored", "trouble"]

#: A report that has just gone out is taken in within this.
_FIRST_S = 30.0
_LOOK_S = 5.0
PROGRESS_S = 1.0
"""How often a job reports its progress at most."""
PROGRESS_SOURCES = 50
"""Sources of one report of progress."""
_PER_STEP = 2_000
_CONTROL = re.compile("[\x00-\x1f]+")


def expired(table: HotTable, source: str, version: int, late: int = 0) -> ReportItem:
    """The report that all hot rows of the source are in the archive, but for `late` rows that came
    while they were moved there.
    """
    entries = table.manifest.get(source, {})
    return {
        "source": source,
        "version": version,
        "phase": "expired",
        "late_interactions": late,
        **_archived(entries),
    }


def restored(
    table: HotTable,
    source: str,
    version: int,
    entries: Mapping[str, ManifestEntry],
    recent: Mapping[str, int],
) -> ReportItem:
    """The report that all archived rows of the source, at `entries`, are hot again; `recent` gives
    the rows in the deltas by source.
    """
    brought = sum(entry.rows for entry in entries.values())
    hot = table.rows_in_segments(source) + recent.get(source, 0)
    return {
        "source": source,
        "version": version,
        "phase": "restored",
        "late_interactions": max(0, hot - brought),
        **_archived(entries),
    }


def trouble(phase: Phase, source: str, version: int, found: Trouble) -> ReportItem:
    """The report of a record that cannot be used, or of an archive that does not answer."""
    return {
        "source": source,
        "version": version,
        "phase": Phase.PROGRESS.value,
        "trouble": phase.value,
        "code": found.code.value,
        "place": found.place[:TROUBLE_TEXT],
        "segment": found.segment[:TROUBLE_TEXT],
        "detail": _CONTROL.sub(" ", str(found))[:TROUBLE_TEXT],
    }


def _archived(entries: Mapping[str, ManifestEntry]) -> ReportItem:
    """The archived data of a source: rows, bytes, segments, and a checksum over the set."""
    return {
        "interactions": sum(entry.rows for entry in entries.values()),
        "bytes": sum(entry.bytes for entry in entries.values()),
        "segments": len(entries),
        "checksum": set_checksum((name, entry.checksum) for name, entry in entries.items()),
    }


class Reminder:
    """Repeats reports: first `first_s` seconds after it notices that the lifecycle still waits, and
    then once every `shard_deadline`, the interval at which the coordinator looks for late shards.
    """

    def __init__(self, context: ShardContext, first_s: float = _FIRST_S) -> None:
        self._context = context
        self._first_s = first_s
        self._every_s = seconds(context.settings.shard_deadline)
        #: Version and when to tell of it, by source; looked at again from `_look_at` on.
        self._due: dict[str, tuple[int, float]] = {}
        self._look_at = 0.0

    async def step(self) -> bool:
        """Sends the reports that are due; False if there are none. Raises `Fenced`,
        `StepFailed`.
        """
        if self._context.clock.monotonic_s() < self._look_at:
            return False
        self._look_at = self._context.clock.monotonic_s() + min(_LOOK_S, self._first_s)
        items = self._items()
        if items:
            await self._context.store.commit(Step(records=self._context.reports(items)))
        return bool(items)

    def _items(self) -> list[ReportItem]:
        table, now = self._context.store.table, self._context.clock.monotonic_s()
        former, self._due = self._due, {}
        items: list[ReportItem] = []
        awaited = list(self._context.view.in_states([State.EXPIRING, State.RESTORING]))
        # counting the rows of all sources costs milliseconds beside ingest
        recent = table.deltas.sources() if awaited else {}
        for record in awaited:
            source, version = record.source, record.version
            done = table.applied.get(source)
            if done is None or (done.version, done.state) != (version, record.state):
                continue
            known, at = former.get(source, (version, now + self._first_s))
            if known == version and at <= now and len(items) < _PER_STEP:
                if record.state == State.EXPIRING:
                    late = table.rows_in_segments(source) + recent.get(source, 0)
                    items.append(expired(table, source, version, late))
                else:
                    entries = table.manifest.get(source, {})
                    items.append(restored(table, source, version, entries, recent))
                at = now + self._every_s
            self._due[source] = (version, at if known == version else now + self._first_s)
        return items

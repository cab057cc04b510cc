"""How much of a shard waits for a merge. Beyond a bound ingest waits: events wait in Kafka, which
keeps them on its own disk, and the local store stays in proportion to what is in it.
"""

from collections.abc import Set

from agents.shard.jobs.compact import merge_bytes, merge_classes, mergeable
from agents.shard.jobs.context import ShardContext
from streams.state import auxiliary_table as auxiliary
from streams.state import compaction_plan

__all__ = ["Backlog", "too_much"]

#: A level has so many segments in one place before a merge: so many times that much may wait, in a
#: shard that has nothing merged.
_LEAST = 2


def too_much(waiting: int, merged: int, least: int) -> bool:
    """Whether so many bytes that wait for a merge are too many beside those that do not: more than
    them, and more than `least`.
    """
    return waiting > max(least, merged)


class Backlog:
    """What waits for a merge in one shard. Counted again only after something has changed."""

    def __init__(self, context: ShardContext) -> None:
        self._context = context
        self._counted: tuple[object, ...] = ()
        self._full = False

    def full(self, spared: Set[str]) -> bool:
        """Whether a merge has to come before more events are taken in. Then there is one, even if
        no segment with rows of the sources `spared` takes part: those are a job's.
        """
        context, table = self._context, self._context.store.table
        now = (table.changes, len(table.unclean), len(table.unclean_runs), len(context.damaged))
        if self._counted != (*now, spared):
            self._counted = (*now, spared)
            self._full = self._segments(spared) or self._runs()
        return self._full

    @property
    def _least(self) -> int:
        settings = self._context.settings
        return _LEAST * settings.fan_in * settings.segment_bytes

    def _segments(self, spared: Set[str]) -> bool:
        table = self._context.store.table
        whole = sum(index.bytes for index in table.segments.values())
        if whole <= self._least:
            return False
        context = self._context
        classes = merge_classes(mergeable(context, spared), context.settings.fan_in, context.limits)
        crowds = (compaction_plan.crowded(some, most, context.together) for some, most in classes)
        sizes = {index.id: index.bytes for crowd in crowds for index in crowd}
        waiting = sum(sizes.values())
        return too_much(waiting, whole - waiting, self._least)

    def _runs(self) -> bool:
        table, fan_in = self._context.store.table, self._context.settings.fan_in
        for runs in table.runs.values() if not table.unclean_runs else ():
            whole = sum(runs.values())
            if whole > self._least:
                waiting = auxiliary.crowded(runs, fan_in, merge_bytes(self._context))
                if too_much(waiting, whole - waiting, self._least):
                    return True
        return False

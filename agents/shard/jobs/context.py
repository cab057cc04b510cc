"""The objects that every part of a shard's work needs, and the reports that it sends."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from agents.shard.jobs.rests import Rests
from agents.shard.ownership import Ownership
from agents.views.state_view import StateView
from schemas.records.codec import encode
from schemas.records.lifecycle import ErasureItem
from streams.clock import Clock
from streams.kafka.environment import Environment
from streams.kafka.log import Log, Record
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state import auxiliary_table as auxiliary
from streams.state import compaction_plan
from streams.state.archive import ArchiveReader
from streams.state.compaction_plan import SegmentLimits
from streams.state.store import Put, Step, Store, bounded, new_id

__all__ = ["ReportItem", "ShardContext"]

ReportItem = dict[str, Any]
#: Of one report, which is one record: names may be long, and items are many.
_REPORT_BYTES = 500_000
_ITEM_BYTES = 500
_WORK_BYTES = 4_000_000
#: Deltas of one auxiliary table that one step folds, by what they take in memory.
_AUXILIARY_BYTES = 64_000_000


@dataclass(frozen=True)
class ShardContext:
    """The objects of one shard: environment, store, lifecycle view, ownership, archive."""

    environment: Environment
    partition: int
    store: Store
    view: StateView
    ownership: Ownership = field(default_factory=Ownership)
    archive: ArchiveReader = field(init=False)
    #: Hot segments whose bytes are wrong in the changelog too: they are neither merged nor moved.
    damaged: set[str] = field(default_factory=set)
    #: Segments by id, with the merge that made them, if it made several.
    together: dict[str, str] = field(default_factory=dict)
    #: Sources whose work rests, and segments whose archive record cannot be read (as version 0).
    rests: Rests = field(init=False)

    def __post_init__(self) -> None:
        reader = ArchiveReader(self.settings, self.kafka, self.partition)
        object.__setattr__(self, "archive", reader)
        object.__setattr__(self, "rests", Rests(self.clock))

    @property
    def settings(self) -> Settings:
        """Those of the deployment."""
        return self.environment.settings

    @property
    def kafka(self) -> Log:
        """All logs."""
        return self.environment.kafka

    @property
    def clock(self) -> Clock:
        """The time of day, and seconds that only go forward."""
        return self.environment.clock

    @property
    def limits(self) -> SegmentLimits:
        """The limits of a segment."""
        settings = self.settings
        return SegmentLimits(settings.segment_rows, settings.segment_bytes, settings.own_rows)

    @property
    def work_bytes(self) -> int:
        """Bytes of one step of a long job: small, because ingest commits between such steps."""
        return min(self.settings.step_bytes, _WORK_BYTES)

    def new_id(self) -> str:
        """A new segment id, which starts with the time."""
        return new_id(self.clock.now_ms(), self.environment.random)

    async def flush(self) -> None:
        """Folds all present deltas of rows into segments, and those of counts and users into runs,
        within the limits of a step: one step.
        """
        await self._flush(dict(self.store.table.deltas))

    async def flush_auxiliary(self) -> None:
        """Folds the oldest deltas of counts and users into runs: one step."""
        await self._flush({})

    async def _flush(self, deltas: dict[bytes, pl.DataFrame]) -> None:
        held = self.store.table.auxiliary
        tables = [
            (each, auxiliary.oldest(held[each.delta], _AUXILIARY_BYTES))
            for each in auxiliary.TABLES
        ]

        def plan() -> list[Put]:
            puts = compaction_plan.flush(deltas, self.new_id, self.limits) if deltas else []
            for each, parts in tables:
                puts += auxiliary.flush(each, parts, self.new_id, self.settings.segment_bytes)
            return puts

        if puts := await asyncio.to_thread(plan):
            await self.store.commit(Step(puts=puts))

    def erasure_report(self, items: Sequence[ErasureItem]) -> list[Record]:
        """A report of requests that erase users, to send with a step."""
        if not items:
            return []
        plain = [{**item._asdict(), "held": list(item.held)} for item in items]
        fields = {"partition": self.partition, "time": self.clock.now_ms(), "erasures": plain}
        topic = Topics(self.settings.prefix).shard_reports
        return [Record(topic, items[0].request_id.encode(), encode("report", fields))]

    def held(self, sources: Iterable[str]) -> set[str]:
        """Those of the sources that somebody holds: their rows stay."""
        found = ((source, self.view.get(source)) for source in sources)
        return {source for source, state in found if state is not None and state.held is not None}

    def reports(self, items: Iterable[ReportItem]) -> list[Record]:
        """Shard reports to send with a step; one record reports up to a thousand sources."""
        topic = Topics(self.settings.prefix).shard_reports
        return [
            Record(
                topic,
                str(some[0]["source"]).encode(),
                encode(
                    "report",
                    {
                        "partition": self.partition,
                        "time": self.clock.now_ms(),
                        "items": some,
                    },
                ),
            )
            for some in bounded(items, _item_weight, _REPORT_BYTES)
        ]


def _item_weight(item: ReportItem) -> int:
    texts = (str(item.get(name, "")) for name in ("place", "segment", "detail"))
    return max(_ITEM_BYTES, 2 * len(str(item["source"]).encode())) + 4 * sum(map(len, texts))

"""`--against-topics`: the rows that shards hold, and those that the events in the topics make."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from agents.verify.checks.rows import check_rows
from agents.verify.event_rows import EXPECTED, EventRows, ShardMoment
from agents.verify.held_rows import HELD, HeldRows
from agents.verify.log_scan import LogStuck
from agents.verify.report import VerifyReport
from agents.verify.row_spill import RowSpill
from agents.verify.shard_image import ShardImage
from streams.erasure_key import erasure_key
from streams.kafka.environment import Environment
from streams.kafka.topic_specs import Topics

__all__ = ["TopicComparison"]


class TopicComparison:
    """`prepare`, then `pour` each shard and give `held` its archived rows, then `compare`."""

    def __init__(self, environment: Environment, folder: Path, report: VerifyReport) -> None:
        self._environment = environment
        self._topics = Topics(environment.settings.prefix)
        self._folder = folder
        self._report = report
        self._moments: list[ShardMoment] = []
        self._blind = False
        self.events = 0

    async def prepare(self) -> None:
        """Ask how many events there are. Raises `Fatal` for an erasure key that cannot be used."""
        shards = range(self._environment.settings.partitions)
        logs = [(topic, shard) for topic in self._topics.events.values() for shard in shards]
        spans = await self._environment.kafka.admin.bounds(logs)
        self.events = sum(end - start for start, end in spans.values())
        self._key = await asyncio.to_thread(erasure_key, self._environment.settings)
        scratch, spilt = self._folder / "values", self._folder / "rows"
        scratch.mkdir()
        spilt.mkdir()
        self._spill = RowSpill(spilt, self.events)
        self.held = HeldRows(scratch, self._spill, self._key)

    async def pour(self, image: ShardImage) -> None:
        """Take the hot rows of a shard at its moment."""
        # with another key, or none, it cannot be told whose rows are gone
        known = self._key.id if self._key is not None else None
        if image.erasure_marks is not None and image.erasure_marks.key != known:
            self._blind = True
        await asyncio.to_thread(self.held.pour, image)
        mask = self.held.masks[image.partition]
        self._moments = [one for one in self._moments if one.partition != image.partition]
        self._moments.append(ShardMoment(image.partition, image.cursor, mask))

    async def compare(self, passed: Callable[[int], None]) -> None:
        """Read the events and compare all rows."""
        if self._blind:
            self._report.unchecked.append(
                "rows of events: users were erased, and the key under which (erasure_key_file) is "
                "not here"
            )
            return
        rows = EventRows(self._environment, self._spill, passed)
        try:
            await rows.fill(self._moments)
        except LogStuck as error:
            self._report.add([error.finding()])
            self._report.unchecked.append("rows of events, as a topic could not be read")
            return
        self._report.add(rows.findings)
        if rows.unknown:
            self._report.unchecked.append(
                f"{rows.unknown} events, whose schemas the schema registry has not given yet"
            )
        if not rows.complete:
            self._report.unchecked.append(
                "rows of events that were deleted from their topics: only rows of the events that "
                "are left must be there"
            )
        for number in range(self._spill.buckets):
            await asyncio.to_thread(self._bucket, number, rows.complete)
        self._report.figures.update(events_read=rows.events)

    def _bucket(self, number: int, complete: bool) -> None:
        expected = self._spill.bucket(EXPECTED, number)
        held = self._spill.bucket(HELD, number)
        self._report.figures.update(rows_compared=0 if expected is None else expected.height)
        partitions = self._environment.settings.partitions
        self._report.add(check_rows(self._topics, partitions, expected, held, complete=complete))

"""Watches a worker from outside: reads its changelog as a read_committed consumer.

A batch is ingested when a cursor beyond it is committed. The changelog shows this without any
request to the worker, and is small compared with the events.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiokafka import TopicPartition

from agents.tools.process import Child
from schemas.errors import Fatal
from streams.kafka import clients
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state import keys
from streams.state.hot_table import HotTable

__all__ = ["Watch"]

_WAIT_MS = 50


class Watch:
    """Follows the changelog from its present end. An asynchronous context manager.

    `fenced` has the time of each shard's takeover, `committed` the time when the last cursor of
    each shard was seen: seconds of the monotonic clock. `cursors` are the cursors themselves.
    """

    def __init__(self, settings: Settings) -> None:
        self.fenced: dict[int, float] = {}
        self.committed: dict[int, float] = {}
        self.cursors: dict[int, Mapping[str, int]] = {}
        self._partitions = [
            TopicPartition(Topics(settings.prefix).changelog, p) for p in range(settings.partitions)
        ]
        self._consumer = clients.consumer(
            settings,
            f"{settings.client_id}-watch",
            clients.PATIENT_S,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4_000_000,
            check_crcs=False,
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        await self._consumer.seek_to_end(*self._partitions)
        for partition in self._partitions:
            await self._consumer.position(partition)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def look(self) -> None:
        """Read the records committed since; waits up to 50 ms for one."""
        for partition, records in (await self._consumer.getmany(timeout_ms=_WAIT_MS)).items():
            now = time.monotonic()
            for record in records:
                if record.key == keys.FENCE:
                    self.fenced[partition.partition] = now
                elif record.key == keys.CURSOR and record.value is not None:
                    table = HotTable()
                    table.apply([(record.key, record.value)])
                    self.cursors[partition.partition] = table.cursor
                    self.committed[partition.partition] = now

    def behind(self, ends: Mapping[tuple[str, int], int]) -> int:
        """The number of records between the cursors and `ends` (offsets by topic, partition)."""
        return sum(
            max(0, end - self.cursors.get(partition, {}).get(topic, 0))
            for (topic, partition), end in ends.items()
        )

    async def taken_over(self, child: Child, seconds: float = 120.0) -> float:
        """The time of the first takeover. Raises Fatal after so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.fenced:
            await self._wait(child, deadline, "has taken no shard over")
        return min(self.fenced.values())

    async def caught_up(
        self, child: Child, ends: Mapping[tuple[str, int], int], seconds: float = 90.0
    ) -> float:
        """The time when the last cursor passed `ends`. Raises Fatal after so many seconds without
        progress.
        """
        deadline, behind = time.monotonic() + seconds, self.behind(ends)
        while left := self.behind(ends):
            if left < behind:
                deadline, behind = time.monotonic() + seconds, left
            await self._wait(child, deadline, f"stays {left} events behind")
        return max(self.committed.values())

    async def _wait(self, child: Child, deadline: float, what: str) -> None:
        child.check()
        if time.monotonic() > deadline:
            raise Fatal(f"The worker {what}: {child.tail(500)}", remedy=f"See {child.log}")
        await self.look()

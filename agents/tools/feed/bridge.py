"""The bridge: reads topics of Currents events and writes their records, each exactly once.

The bridges of a consumer group share the partitions. A transaction has the records that some events
of one partition become, the rejects, and the next offset of the partition. So after any end, and
after any change of the group, the next owner goes on where the last transaction ended
(`bridge_lane`).
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from agents.tools.feed.arrived import ArrivedMapper, MappedRecords
from agents.tools.feed.bridge_lane import BridgeLane, LaneLost
from agents.tools.import_files import TypeCounts
from agents.tools.publish import Publisher
from schemas.errors import Recoverable
from streams.kafka import clients
from streams.kafka.refusal import unreachable
from streams.settings import Settings

__all__ = ["Bridged", "bridge"]

MOST_RECORDS = 10_000
"""That are read at once."""
WAIT_MS = 200
SESSION_MS = 10_000
"""After so long the others take over from a bridge that was killed."""
FENCED_S = 1.0
"""So long a bridge waits that lost a partition which the group has not taken from it yet."""
MOST_LOST = 15
"""So often in turn it waits: longer than a group takes to notice."""


@dataclass(slots=True)
class Bridged(TypeCounts):
    """What a bridge has done since it started: records read, sent, and rejected; and by type."""

    read: int = 0
    sent: int = 0
    rejected: int = 0


async def bridge(
    settings: Settings,
    topics: Sequence[str],
    group: str,
    mapper: ArrivedMapper,
    *,
    instance: str | None = None,
    once: bool = False,
    progress: Callable[[Bridged], None] = lambda done: None,
) -> Bridged:
    """Bridge `topics` (whole names) until it is cancelled; with `once` up to their present ends.

    `group` shares the partitions and names the offsets; a group without offsets begins at the
    beginning. `instance` is the name of this bridge in the group, which keeps its partitions while
    it restarts. Raises Fatal for a topic that does not exist, Recoverable after any error of a
    broker: start again.
    """
    run = _Run(settings, topics, (group, instance), mapper)
    try:
        async with run:
            await run.work(once, progress)
    except KafkaError as error:
        otherwise = Recoverable(
            f"The bridge stopped: {type(error).__name__} {error}",
            remedy="Start it again: it goes on behind its last transaction",
        )
        raise unreachable(error, otherwise, f"the topics or the group {group}") from error
    return run.done


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts the changes of the group, and lets nothing be read before `_Run` has seen them."""

    def __init__(self) -> None:
        self.changes = 0

    def on_partitions_revoked(self, revoked: object) -> None:
        self.changes += 1

    def on_partitions_assigned(self, assigned: object) -> None:
        self.changes += 1


class _Run:
    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        member: tuple[str, str | None],
        mapper: ArrivedMapper,
    ) -> None:
        self.done = Bridged()
        self._settings = settings
        self._topics = topics
        self._group, instance = member
        self._lost = 0
        self._mapper = mapper
        self._listener = _Assigned()
        self._seen = -1
        self._lanes: dict[TopicPartition, tuple[BridgeLane, AsyncExitStack]] = {}
        self._instance = instance

    async def __aenter__(self) -> "_Run":
        async with Publisher(self._settings) as publisher:
            for topic in self._topics:
                await publisher.partition_count(topic)  # a topic that does not exist is an error
        self._consumer: AIOKafkaConsumer = clients.consumer(
            self._settings,
            f"{self._settings.client_id}-bridge",
            group_id=self._group,
            group_instance_id=self._instance,
            session_timeout_ms=SESSION_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        self._consumer.subscribe(list(self._topics), listener=self._listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for partition in list(self._lanes):
                await self._close(partition)
        finally:
            await self._consumer.stop()

    async def work(self, once: bool, progress: Callable[[Bridged], None]) -> None:
        """Until it is cancelled; with `once` until its partitions are read to their ends."""
        began = time.monotonic()
        ends: dict[TopicPartition, int] = {}
        while True:
            if self._seen != self._listener.changes:
                await self._take_over()
                if once:
                    more = [one for one in self._lanes if one not in ends]
                    ends |= await self._consumer.end_offsets(more) if more else {}
            elif once and self._listener.changes and not await self._behind(ends):
                return
            found = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=MOST_RECORDS)
            if found and self._seen == self._listener.changes:
                await self._step(found)
            self.done.seconds = time.monotonic() - began
            progress(self.done)

    async def _take_over(self) -> None:
        """Own what the group has assigned: all of it is opened anew, because a member may have
        missed an assignment to another one.
        """
        changes = self._listener.changes
        for partition in list(self._lanes):
            await self._close(partition)
        opening = [self._open(one) for one in sorted(self._consumer.assignment())]
        for result in await asyncio.gather(*opening, return_exceptions=True):
            # a partition that was taken away meanwhile is none of the next assignment
            if isinstance(result, BaseException) and not isinstance(result, IllegalStateError):
                raise result
        self._seen = changes

    async def _open(self, partition: TopicPartition) -> None:
        stack = AsyncExitStack()
        lane = await stack.enter_async_context(BridgeLane(self._settings, self._group, partition))
        self._lanes[partition] = lane, stack
        await lane.find_start(self._consumer)

    async def _close(self, partition: TopicPartition) -> None:
        _, stack = self._lanes.pop(partition)
        await stack.aclose()

    async def _behind(self, ends: Mapping[TopicPartition, int]) -> bool:
        for partition in self._lanes:
            if await self._consumer.position(partition) < ends[partition]:
                return True
        return False

    async def _step(self, found: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        """A transaction for each partition."""
        owned = {one: some for one, some in found.items() if some and one in self._lanes}
        steps = [self._lanes[one][0].step(self._mapper, some) for one, some in owned.items()]
        results = await asyncio.gather(*steps, return_exceptions=True)
        lost: LaneLost | None = None
        for result in results:
            if isinstance(result, LaneLost):
                lost = result
            elif isinstance(result, BaseException):
                raise result
            else:
                self._count(result)
        self._lost = 0 if lost is None else self._lost + 1
        if lost is not None:
            if self._lost > MOST_LOST:
                raise lost
            # the group has another owner; this member may hear of it only now
            await asyncio.sleep(FENCED_S)
            self._seen = -1

    def _count(self, made: MappedRecords) -> None:
        self.done.read += made.read
        self.done.sent += sum(len(chunk.keys) for chunk in made.chunks)
        self.done.rejected += len(made.rejects)
        for name, count in made.counts.items():
            self.done.count(name, count)

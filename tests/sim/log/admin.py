"""The admin of the simulated log."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from aiokafka import errors as kafka_errors

from schemas.errors import Fatal, Recoverable
from streams.kafka.bootstrap import READ_S
from streams.kafka.log import Partition
from streams.kafka.topic_specs import TopicLayout, TopicProblem, Topics, compare, specs
from streams.settings import Settings
from tests.sim.log.cluster import Cluster
from tests.sim.log.network import Request
from tests.sim.log.partition_log import PartitionLog

__all__ = ["SimAdmin"]

T = TypeVar("T")

ADMIN_S = 30.0
OFFSETS_S = 40.0
RETRY_S = 0.1


class SimAdmin:
    """See `log.LogAdmin`."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings

    async def answers(self, host_s: float) -> bool:
        """Whether the brokers answer."""
        try:
            await self._cluster.network.ask(Request.METADATA, lambda: None, host_s)
        except kafka_errors.KafkaError:
            return False
        return True

    async def topics(self) -> dict[str, int]:
        """All topics of the cluster."""
        return await self._ask(
            lambda: {one.name: len(one.partitions) for one in self._cluster.topics.values()}
        )

    async def create(self) -> list[str]:
        """The missing ones."""
        return await self._ask(self._create)

    async def lacking(
        self, wanted: Mapping[str, Collection[str]], transactional_id: str
    ) -> list[str]:
        """None: there are no rights here."""
        return []

    async def inspect(self) -> tuple[list[TopicProblem], dict[str, TopicLayout]]:
        """Compared by the product's own rules."""
        return await self._ask(self._inspect)

    async def repair(self) -> list[TopicProblem]:
        """What may be repaired."""
        return await self._ask(self._repair)

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """Asked in two requests by the product, so the ends are newer than the beginnings."""
        begin = await self._offsets(partitions, lambda log: log.begin)
        end = await self._offsets(partitions, lambda log: log.stable)
        return {one: (begin[one], end[one]) for one in partitions}

    async def _offsets(
        self, partitions: Sequence[Partition], which: Callable[[PartitionLog], int]
    ) -> dict[Partition, int]:
        """Of all partitions, each asked again until its leader knows it."""
        found: dict[Partition, int] = {}
        network = self._cluster.network
        try:
            async with asyncio.timeout(OFFSETS_S):
                await network.ask(Request.METADATA, lambda: None, READ_S)
                while left := [one for one in partitions if one not in found]:
                    try:
                        work = partial(self._known, left, which)
                        found |= await network.ask(Request.OFFSETS, work, READ_S)
                    except kafka_errors.KafkaError as error:
                        if not error.retriable:
                            raise
                    if len(found) < len(partitions):
                        await asyncio.sleep(RETRY_S)
        except (kafka_errors.KafkaError, TimeoutError) as error:
            raise Recoverable(f"the broker does not answer: {type(error).__name__}") from error
        return found

    def _known(
        self, partitions: Sequence[Partition], which: Callable[[PartitionLog], int]
    ) -> dict[Partition, int]:
        found: dict[Partition, int] = {}
        for one in partitions:
            log = self._cluster.log(one)
            if self._cluster.leader(one) is not None and not log.is_behind:
                found[one] = which(log)
        return found

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """In their order."""
        there = await self.topics()
        for topic in topics:
            if topic not in there:
                raise Fatal(f"There is no topic {topic}", remedy="Make the topics")
        return [(topic, number) for topic in topics for number in range(there[topic])]

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Of those that exist."""
        there = self._cluster.topics
        return await self._ask(
            lambda: {name: there[name].topic_id for name in topics if name in there}
        )

    async def configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """As they are now."""
        there = self._cluster.topics
        return await self._ask(
            lambda: {name: dict(there[name].configs) for name in topics if name in there}
        )

    async def delete_below(self, partition: Partition, offset: int) -> None:
        """The log begins there once it returns."""
        await self._ask(lambda: self._delete_below(partition, offset))

    async def _ask(self, work: Callable[[], T]) -> T:
        try:
            return await self._cluster.network.ask(Request.ADMIN, work, ADMIN_S)
        except kafka_errors.KafkaError as error:
            raise Recoverable(
                f"The simulated broker does not answer ({type(error).__name__} {error})",
                remedy="Wait",
            ) from error

    def _delete_below(self, partition: Partition, offset: int) -> None:
        log = self._cluster.log(partition)
        if offset > log.end:
            raise kafka_errors.OffsetOutOfRangeError(f"{offset} is above {log.end}")
        log.delete_below(offset)

    def _create(self) -> list[str]:
        missing = [one for one in specs(self._settings) if one.name not in self._cluster.topics]
        for spec in missing:
            self._cluster.create(spec)
        return [spec.name for spec in missing]

    def _inspect(self) -> tuple[list[TopicProblem], dict[str, TopicLayout]]:
        replicas = self._settings.replication_factor
        changelog = self._cluster.topics.get(Topics(self._settings.prefix).changelog)
        placed = None if changelog is None else len(changelog.partitions)
        problems: list[TopicProblem] = []
        layouts: dict[str, TopicLayout] = {}
        for spec in specs(self._settings):
            topic = self._cluster.topics.get(spec.name)
            if topic is None:
                problems += compare(spec, None, {})
                continue
            count = len(topic.partitions)
            layouts[spec.name] = TopicLayout(count, replicas, topic.topic_id)
            problems += compare(spec, count, topic.configs, replicas=replicas, placed=placed)
        return problems, layouts

    def _repair(self) -> list[TopicProblem]:
        wrong = [problem for problem in self._inspect()[0] if problem.repairable]
        for problem in wrong:
            self._cluster.topics[problem.topic].configs[problem.setting] = problem.expected
        return wrong

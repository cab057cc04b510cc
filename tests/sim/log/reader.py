"""A reader of the simulated log: the product's fetcher on simulated connections."""

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from aiokafka.structs import TopicPartition

from streams.kafka.bootstrap import READ_S
from streams.kafka.fetch import Fetcher
from streams.kafka.fetch_protocol import FetchQuestion
from streams.kafka.log import Partition
from tests.sim.log.cluster import Answer, Cluster
from tests.sim.log.network import Call, Request

__all__ = ["SimFetcher"]

_METADATA_S = 3.0


class SimFetcher(Fetcher):
    """As its parent; only the connections are simulated."""

    cluster: Cluster

    def _connect(self) -> Any:
        return _Connections(self.cluster)

    async def _response(self, client: Any, node: int, asked: FetchQuestion) -> Any:
        return await client.fetch(node, asked, self._ids)


class _Connections:
    """What the fetcher asks of a client: leaders as last heard, and requests."""

    def __init__(self, cluster: Cluster) -> None:
        self._brokers = cluster
        self._leaders: dict[Partition, int | None] = {}
        self._topics: set[str] = set()
        self._refreshing = False
        self.cluster = SimpleNamespace(leader_for_partition=self._leader)

    async def bootstrap(self) -> None:
        await self._brokers.network.ask(Request.METADATA, lambda: None, _METADATA_S)

    async def set_topics(self, topics: Iterable[str]) -> None:
        self._topics = set(topics)
        leaders = await self._brokers.network.ask(Request.METADATA, self._described, _METADATA_S)
        self._leaders = leaders

    async def ready(self, node: int) -> None:
        """It can be asked."""

    async def close(self) -> None:
        self._topics = set()

    def force_metadata_update(self) -> None:
        """Asks for the leaders, soon."""
        if not self._refreshing:
            self._refreshing = True
            network = self._brokers.network
            network.later(2 * network.way(), self._refresh)

    async def ask_any(self, request: Any) -> Any:
        """The ids of topics, as the metadata request of version 10."""
        return await self._brokers.network.ask(
            Request.METADATA, lambda: self._named(request._names), READ_S
        )

    async def fetch(self, node: int, asked: FetchQuestion, ids: Mapping[str, str]) -> Answer:
        network = self._brokers.network
        call: Call[Answer] = network.call(READ_S + asked.wait_ms / 1000)
        waiting = _Waiting(self._brokers, asked, node, ids, call)
        network.send(Request.FETCH, call, waiting.arrive, node)
        try:
            return await call.result
        finally:
            waiting.forget()

    def _leader(self, partition: TopicPartition) -> int | None:
        return self._leaders.get((partition.topic, partition.partition))

    def _described(self) -> dict[Partition, int | None]:
        found: dict[Partition, int | None] = {}
        for name in self._topics:
            topic = self._brokers.topics.get(name)
            for number in range(0 if topic is None else len(topic.partitions)):
                found[name, number] = self._brokers.leader((name, number))
        return found

    def _refresh(self) -> None:
        self._refreshing = False
        self._leaders = self._described()

    def _named(self, names: Iterable[str]) -> Any:
        topics: list[Any] = []
        for name in names:
            topic = self._brokers.topics.get(name)
            code, topic_id = (3, b"") if topic is None else (0, bytes.fromhex(topic.topic_id))
            topics.append((code, name, topic_id, False, (), 0, {}))
        return SimpleNamespace(topics=topics)


class _Waiting:
    """A fetch at the brokers that waits for something new."""

    def __init__(
        self,
        brokers: Cluster,
        asked: FetchQuestion,
        node: int,
        ids: Mapping[str, str],
        call: Call[Answer],
    ) -> None:
        self._brokers = brokers
        self._asked = asked
        self._node = node
        self._ids = ids
        self._call = call
        self._waits: list[dict[Any, None]] = []
        self._over = False

    def arrive(self) -> None:
        asked, brokers = self._asked, self._brokers
        if asked.wait_ms <= 0 or brokers.ready(asked):
            self._tell()
            return
        for name, number in asked.positions:
            waiters = brokers.topics[name].partitions[number].waiters
            waiters[self._moved] = None
            self._waits.append(waiters)
        brokers.network.later(asked.wait_ms / 1000, self._tell)

    def forget(self) -> None:
        self._over = True
        for waiters in self._waits:
            waiters.pop(self._moved, None)
        self._waits.clear()

    def _moved(self) -> None:
        if self._brokers.ready(self._asked):
            self._tell()

    def _tell(self) -> None:
        if self._over:
            return
        self.forget()
        asked, node, ids = self._asked, self._node, self._ids
        self._brokers.network.answer(self._call, lambda: self._brokers.fetch(asked, node, ids))

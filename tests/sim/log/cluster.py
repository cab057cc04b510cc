"""A simulated cluster of brokers: topics, partitions with their leaders, transactions.

Its methods are what brokers do with a request, at once; `Network` brings requests and answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from zlib import crc32

from aiokafka import errors as kafka_errors

from streams.clock import Clock
from streams.kafka.fetch_protocol import FetchQuestion
from streams.kafka.log import Partition
from streams.kafka.topic_specs import TopicSpec
from tests.sim.log.batches import PLAIN, Entry, Written, size_of
from tests.sim.log.faults import Faults
from tests.sim.log.network import Network
from tests.sim.log.partition_log import PartitionLog
from tests.sim.log.transactions import Transactions

__all__ = ["Answer", "Cluster", "Takeover", "Topic"]

_ID_BITS = 128
#: The pause before a marker is written again where there was no leader.
MARKER_RETRY_S = 0.1
_UNKNOWN_TOPIC, _OUT_OF_RANGE, _NOT_LEADER, _OTHER_ID = 3, 1, 6, 100

#: As the fetch API: number, code, high watermark, last stable offset, beginning, aborted, preferred
#: replica, bytes.
PartitionAnswer = tuple[int, int, int, int, int, Sequence[tuple[int, int]], int, bytes]


@dataclass(slots=True)
class Topic:
    """A topic with its partitions; one that is created again has another id."""

    name: str
    topic_id: str
    configs: dict[str, str]
    partitions: list[PartitionLog]

    @property
    def most_bytes(self) -> int:
        """The largest batch."""
        return int(self.configs.get("max.message.bytes", "1048588"))


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a fetch, in the shape of version 11."""

    topics: list[tuple[str, list[PartitionAnswer]]]
    API_VERSION: int = 11


@dataclass(frozen=True, slots=True)
class Takeover:
    """A worker has fenced the former writers under a transactional id. `at_s`: seconds of the loop;
    `generation`: that of the group in which the worker was when it asked.
    """

    at_s: float
    name: str
    worker: str
    generation: int


class Cluster:
    """One cluster for all workers of a run. `clock` is the brokers'."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        faults: Faults | None = None,
        *,
        nodes: int = 3,
        latency_s: float = 0.0,
    ) -> None:
        self.clock = clock
        self.random = random
        self.faults = faults or Faults(random)
        self.network = Network(self.faults, nodes, latency_s)
        self.transactions = Transactions(self._write_marker, self.network.later, self.faults.reach)
        self.topics: dict[str, Topic] = {}
        self.takeovers: list[Takeover] = []
        #: Called with a transactional id when somebody asks to take it over; gives the generation
        #: of the group in which that one is.
        self.on_takeover: Callable[[str], int] = lambda name: -1
        self._nodes = nodes
        self._leaders: dict[Partition, int | None] = {}

    # -- topics

    def create(self, spec: TopicSpec) -> Topic:
        """Makes a topic, or makes it anew, with another id."""
        topic_id = f"{self.random.getrandbits(_ID_BITS):032x}"
        stamps = spec.configs.get("message.timestamp.type") == "LogAppendTime"
        reach = self.faults.reach
        partitions = [PartitionLog(stamps, reach) for _ in range(spec.partitions)]
        topic = self.topics[spec.name] = Topic(spec.name, topic_id, dict(spec.configs), partitions)
        for number in range(spec.partitions):
            self._leaders[spec.name, number] = number % self._nodes
        return topic

    def log(self, partition: Partition) -> PartitionLog:
        """Raises `UnknownTopicOrPartitionError`."""
        name, number = partition
        topic = self.topics.get(name)
        if topic is None or number >= len(topic.partitions):
            raise kafka_errors.UnknownTopicOrPartitionError(f"{name}[{number}]")
        return topic.partitions[number]

    def leader(self, partition: Partition) -> int | None:
        """The node that leads a partition; None if it has no leader, or does not exist."""
        return self._leaders.get(partition)

    def delete(self, name: str) -> None:
        """Deletes a topic; `create` makes another one of the name."""
        topic = self.topics.pop(name)
        for number, log in enumerate(topic.partitions):
            del self._leaders[name, number]
            log.wake()

    # -- what happens to brokers

    def lead(self, partition: Partition, node: int | None) -> None:
        """Gives a partition another leader, or none. A new one may be behind for a moment."""
        self._leaders[partition] = node
        log = self.topics[partition[0]].partitions[partition[1]]
        if node is not None and self.faults.strikes("behind"):
            log.fall_behind(log.end - 1 - self.faults.random.randrange(5))
            self.network.later(self.faults.within(self.faults.rates.behind_s), log.catch_up)
        log.wake()

    def led_by(self, node: int | None) -> list[Partition]:
        """The partitions that a node leads; with None, those without a leader."""
        return [one for one, leader in self._leaders.items() if leader == node]

    def coordinator_of(self, transactional_id: str) -> int:
        """The node that coordinates the transactions of an id: the first one that is up."""
        down = self.network.down | self.network.hanging
        nodes = [(crc32(transactional_id.encode()) + n) % self._nodes for n in range(self._nodes)]
        return next((node for node in nodes if node not in down), nodes[0])

    # -- reading

    def ready(self, question: FetchQuestion) -> bool:
        """Whether a fetch need not wait."""
        size = 0
        for partition, position in question.positions.items():
            topic = self.topics.get(partition[0])
            if topic is None:
                return True
            log = topic.partitions[partition[1]]
            if not log.begin <= position <= log.end:
                return True
            if log.has(position):
                if question.least <= 1:
                    return True
                size += len(log.read(position, question.least, first=True).data)
        return size >= question.least

    def fetch(self, question: FetchQuestion, node: int, ids: Mapping[str, str]) -> Answer:
        """What a broker answers now."""
        left, first = question.most, True
        if self.faults.strikes("few"):
            left = 0
        topics: list[tuple[str, list[PartitionAnswer]]] = []
        for name, wanted in question.topics():
            answers: list[PartitionAnswer] = []
            for number, position, most in wanted:
                code = self._refusal((name, number), position, node, ids.get(name))
                if code:
                    answers.append((number, code, -1, -1, -1, (), -1, b""))
                    continue
                log = self.topics[name].partitions[number]
                found = log.read(position, min(most, left), first=first)
                left = max(0, left - len(found.data))
                first = first and not found.data
                offsets = log.high, log.stable, log.begin
                answers.append((number, 0, *offsets, found.aborted, -1, found.data))
            topics.append((name, answers))
        return Answer(topics)

    def _refusal(self, partition: Partition, position: int, node: int, topic_id: str | None) -> int:
        """The code of a refusal; 0 if there is none."""
        name, number = partition
        topic = self.topics.get(name)
        if topic is None:
            return _UNKNOWN_TOPIC if topic_id is None else _OTHER_ID
        if topic_id is not None and topic.topic_id != topic_id:
            return _OTHER_ID
        if self._leaders[name, number] != node:
            return _NOT_LEADER
        log = topic.partitions[number]
        return 0 if log.begin <= position <= log.end else _OUT_OF_RANGE

    # -- writing

    def produce(
        self,
        partition: Partition,
        entries: Sequence[Entry],
        by: Written = PLAIN,
        *,
        name: str | None = None,
        codec: int = 0,
    ) -> tuple[int, int | None]:
        """Appends a batch, of the transactional id `name` if it is transactional: the offset of its
        first record, and the log's stamp if it stamps. Raises KafkaError. A plain producer, as
        that of a run's workload, needs no leader.
        """
        log = self.log(partition)
        if self._leaders[partition] is None and by is not PLAIN:
            raise kafka_errors.NotLeaderForPartitionError
        if sum(map(size_of, entries)) > self.topics[partition[0]].most_bytes:
            raise kafka_errors.MessageSizeTooLargeError(f"{partition[0]}[{partition[1]}]")
        if name is not None and self.faults.strikes("failed_step"):
            raise kafka_errors.PolicyViolationError("the simulation refuses this batch")
        if name is not None and log.opened_by(by.producer) is None:
            log.ask_about(by)
            self.transactions.verify(name, by.producer, by.epoch, partition)
        base, stamp = log.append(entries, self.clock.now_ms(), by, codec)
        return base, stamp if log.stamps else None

    def _write_marker(
        self,
        partition: Partition,
        producer: int,
        epoch: int,
        commit: bool,
        done: Callable[[], None],
    ) -> None:
        delay_s = self.faults.random.random() * self.network.latency_s
        if self.faults.strikes("late_markers"):
            delay_s += self.faults.within(self.faults.rates.late_markers_s)

        def write() -> None:
            topic = self.topics.get(partition[0])
            if topic is not None and partition[1] < len(topic.partitions):
                if self._leaders[partition] is None:
                    self.network.later(MARKER_RETRY_S, write)
                    return
                log = topic.partitions[partition[1]]
                log.finish(producer, epoch, commit, self.clock.now_ms())
            done()

        self.network.later(delay_s, write)

"""What happens to the brokers of a simulated cluster by itself, at seeded moments."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from random import Random

from streams.kafka.log import Partition
from tests.sim.log.cluster import Cluster, Topic

__all__ = ["CALM_DAYS", "Frequencies", "Incidents"]

#: The longest a broker is away.
DOWN_S = 20.0
#: How long a partition waits for another leader, at most.
ELECTION_S = 9.0
_JUMP_MS = 600_000


@dataclass(frozen=True, slots=True)
class Frequencies:
    """The mean time between two incidents of a kind, in virtual seconds; 0 switches it off.

    `leader_change`: another broker leads a partition, at once or after a while. `broker_down`: one
    broker refuses connections, or hangs; others lead its partitions after a while. `outage`: no
    broker can be reached. `compaction`: a part of a compacted partition is compacted.
    `clock_jump`: the brokers' time of day jumps by up to ten minutes, in either direction.
    """

    leader_change: float = 0.0
    broker_down: float = 0.0
    outage: float = 0.0
    compaction: float = 0.0
    clock_jump: float = 0.0

    @classmethod
    def names(cls) -> list[str]:
        """All incidents."""
        return [one.name for one in fields(cls)]


CALM_DAYS = Frequencies()


class Incidents:
    """`start` lets them happen until `stop`; then all brokers come back.

    `jump` corrects the brokers' clock by some milliseconds, for clusters whose clock can.
    """

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        frequencies: Frequencies,
        jump: Callable[[int], None] | None = None,
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._frequencies = frequencies
        self._jump = jump
        self._running = False

    def start(self) -> None:
        """From now on, in the loop that runs."""
        self._running = True
        for name in Frequencies.names():
            if getattr(self._frequencies, name):
                self._next(name)

    def stop(self) -> None:
        """No more incidents; what is down comes back."""
        self._running = False
        self._cluster.network.down.clear()
        self._cluster.network.hanging.clear()
        for partition in self._cluster.led_by(None):
            self._elect(partition)

    def change_leader(self) -> None:
        """Of one partition: another broker leads it, or none for a while."""
        partition = self._any_partition()
        if self._random.random() < 0.5:
            self._elect(partition)
        else:
            self._cluster.lead(partition, None)
            self._later(self._within(ELECTION_S), lambda: self._elect(partition))

    def stop_broker(self) -> None:
        """One of them, for a while; one always stays."""
        network = self._cluster.network
        up = self._up()
        if len(up) < 2:
            return
        node = self._random.choice(up)
        (network.down if self._random.random() < 0.5 else network.hanging).add(node)
        for partition in self._cluster.led_by(node):
            # connections to a broker that hangs stay open until the others notice
            self._later(self._within(ELECTION_S), partial(self._replace, partition, node))
        self._later(self._within(DOWN_S), lambda: self._back([node]))

    def cut_off(self) -> None:
        """All brokers, for a while."""
        network = self._cluster.network
        nodes = self._up()
        (network.down if self._random.random() < 0.5 else network.hanging).update(nodes)
        self._later(self._within(DOWN_S), lambda: self._back(nodes))

    def compact(self) -> None:
        """One partition of a compacted topic, up to some offset."""
        compacted = [
            topic
            for topic in self._cluster.topics.values()
            if "compact" in topic.configs.get("cleanup.policy", "")
        ]
        if compacted:
            topic = self._random.choice(compacted)
            log = self._random.choice(topic.partitions)
            below = self._random.randint(log.begin, log.end)
            tombstones_ms = int(topic.configs.get("delete.retention.ms", "86400000"))
            gone = log.compact(self._cluster.clock.now_ms(), tombstones_ms, below)
            if gone:
                self._cluster.faults.reach("records compacted")

    def jump(self) -> None:
        """The brokers' time of day."""
        if self._jump is not None:
            self._jump(self._random.randint(-_JUMP_MS, _JUMP_MS))

    def _next(self, name: str) -> None:
        mean_s: float = getattr(self._frequencies, name)
        wait_s = -mean_s * math.log(1.0 - self._random.random())
        self._cluster.network.later(wait_s, lambda: self._happen(name))

    def _happen(self, name: str) -> None:
        if not self._running:
            return
        self._cluster.faults.reach(name)
        {
            "leader_change": self.change_leader,
            "broker_down": self.stop_broker,
            "outage": self.cut_off,
            "compaction": self.compact,
            "clock_jump": self.jump,
        }[name]()
        self._next(name)

    def _later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._cluster.network.later(delay_s, lambda: callback() if self._running else None)

    def _within(self, most_s: float) -> float:
        return float(most_s * self._random.random() ** 2)

    def _up(self) -> list[int]:
        network = self._cluster.network
        return [n for n in range(network.nodes) if n not in network.down | network.hanging]

    def _any_partition(self) -> Partition:
        topics: list[Topic] = [*self._cluster.topics.values()]
        topic = self._random.choice(topics)
        return topic.name, self._random.randrange(len(topic.partitions))

    def _elect(self, partition: Partition) -> None:
        up = self._up()
        if partition[0] in self._cluster.topics:
            if up:
                self._cluster.lead(partition, self._random.choice(up))
            else:
                self._later(1.0, lambda: self._elect(partition))

    def _replace(self, partition: Partition, node: int) -> None:
        if self._cluster.leader(partition) == node and node not in self._up():
            self._elect(partition)

    def _back(self, nodes: list[int]) -> None:
        network = self._cluster.network
        network.down.difference_update(nodes)
        network.hanging.difference_update(nodes)

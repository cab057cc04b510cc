"""Who serves which shard: partition p of every N-partition topic goes to the same member.

Balanced to within one, sticky, the same on whichever member computes it. A member sends
what it serves now and its HTTP address; every assignment carries the whole map of
partition to address, so each member learns from the assignment itself whom to ask.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

__all__ = ["Claim", "Directory", "Plan", "ShardAssignor", "plan"]

_FORMAT = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a member of the group says of itself when it joins.

    `generation` is the one in which it was given `shards`: of two claims on a shard the
    later one counts. `rejoin` changes to make the group's leader plan anew.
    """

    address: str
    generation: int = -1
    shards: frozenset[int] = frozenset()
    control: bool = False
    rejoin: int = 0

    def encode(self) -> bytes:
        """As it travels in the member's metadata: JSON."""
        return json.dumps(
            {
                "address": self.address,
                "generation": self.generation,
                "shards": sorted(self.shards),
                "control": self.control,
                "rejoin": self.rejoin,
            }
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Claim":
        """Inverse of `encode`."""
        found = json.loads(data)
        return cls(
            address=found["address"],
            generation=found["generation"],
            shards=frozenset(found["shards"]),
            control=found["control"],
            rejoin=found["rejoin"],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Who serves what: member of each shard, and the member with the control partition."""

    shards: Mapping[int, str]
    control: str


@dataclass(frozen=True, slots=True)
class Directory:
    """HTTP addresses of all shards and of the coordinator, as one assignment told them."""

    shards: Mapping[int, str] = field(default_factory=dict)
    control: str = ""

    def encode(self) -> bytes:
        """As it travels in every member's assignment: JSON."""
        shards = {str(partition): address for partition, address in sorted(self.shards.items())}
        return json.dumps({"shards": shards, "control": self.control}).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Directory":
        """Inverse of `encode`; without data it is empty."""
        if not data:
            return cls()
        found = json.loads(data)
        shards = {int(partition): address for partition, address in found["shards"].items()}
        return cls(shards, found["control"])


def plan(members: Mapping[str, Claim], partitions: int) -> Plan:
    """Assign shards 0..`partitions`-1 and control to `members` (at least one).

    As many shards as balance allows stay where they are. Depends on nothing but the
    arguments, not even on the order of `members`.
    """
    kept = _claims(members, partitions)
    low, extra = divmod(partitions, len(members))
    # the larger quotas go where they save a move
    ranked = sorted(members, key=lambda member: (-len(kept[member]), member))
    quota = {member: low + (rank < extra) for rank, member in enumerate(ranked)}
    served = {member: kept[member][: quota[member]] for member in ranked}
    free = sorted(set(range(partitions)) - {p for shards in served.values() for p in shards})
    for member in ranked:
        wanted = quota[member] - len(served[member])
        served[member] = served[member] + free[:wanted]
        free = free[wanted:]
    shards = {p: member for member, held in served.items() for p in held}
    control = min(members, key=lambda m: (*_right_to_control(members[m]), len(served[m]), m))
    return Plan(dict(sorted(shards.items())), control)


def _right_to_control(claim: Claim) -> tuple[bool, int]:
    return (False, -claim.generation) if claim.control else (True, 0)


def _claims(members: Mapping[str, Claim], partitions: int) -> dict[str, list[int]]:
    """Per member the existing shards that it claims with the best right, in order."""
    right: dict[int, str] = {}
    for member in sorted(members, key=lambda member: (-members[member].generation, member)):
        for partition in members[member].shards:
            if 0 <= partition < partitions:
                right.setdefault(partition, member)
    kept: dict[str, list[int]] = {member: [] for member in members}
    for partition, member in sorted(right.items()):
        kept[member].append(partition)
    return kept


class ShardAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka is untyped
    """`plan` in the shape aiokafka asks for. One object a member.

    aiokafka calls it as it would call a class, in its own thread; `claim`, `rejoin` and
    `directory` may be used from any thread.
    """

    name = "emberline-shards"

    def __init__(self, control: str, partitions: int, address: Callable[[], str]) -> None:
        """`control` names the one topic that is not a shard's, `partitions` counts shards.

        `address` is asked for this member's HTTP address at every join.
        """
        self._control = control
        self._partitions = partitions
        self._address = address
        self._lock = threading.Lock()
        self._claim = Claim("")
        self._directory = Directory()

    @property
    def directory(self) -> Directory:
        """The addresses of the latest assignment."""
        with self._lock:
            return self._directory

    def joined(self, generation: int) -> None:
        """Say to which generation the latest assignment belongs."""
        with self._lock:
            self._claim = replace(self._claim, generation=generation)

    def rejoin(self) -> None:
        """Change what the next join says.

        A follower that joins again with equal metadata is only told the generation that
        it knows already, and no new one begins.
        """
        with self._lock:
            self._claim = replace(self._claim, rejoin=self._claim.rejoin + 1)

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member sends when it joins."""
        with self._lock:
            claim = self._claim = replace(self._claim, address=self._address())
        return ConsumerProtocolMemberMetadata(_FORMAT, sorted(topics), claim.encode())

    def assign(
        self,
        cluster: ClusterMetadata,
        members: Mapping[str, ConsumerProtocolMemberMetadata],
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Plan for the whole group; called on the member that leads it.

        The partition count is the setting's: every worker has checked it against the
        topics, while `cluster` may not have heard of a topic yet.
        """
        claims = {member: Claim.decode(metadata.user_data) for member, metadata in members.items()}
        topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
        planned = plan(claims, self._partitions)
        directory = Directory(
            {partition: claims[member].address for partition, member in planned.shards.items()},
            claims[planned.control].address,
        ).encode()
        assignments = {}
        for member in members:
            mine = [partition for partition, owner in planned.shards.items() if owner == member]
            parts = [(topic, mine) for topic in topics if topic != self._control]
            if member == planned.control:
                parts.append((self._control, [0]))
            assignments[member] = ConsumerProtocolMemberAssignment(_FORMAT, parts, directory)
        return assignments

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Take over what the leader planned, before the rebalance listener is called."""
        found = assignment.partitions()
        with self._lock:
            self._directory = Directory.decode(assignment.user_data)
            self._claim = replace(
                self._claim,
                shards=frozenset(p.partition for p in found if p.topic != self._control),
                control=any(p.topic == self._control for p in found),
            )

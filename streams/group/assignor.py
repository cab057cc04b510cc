"""Assigns shards to members: partition p of every N-partition topic goes to the same member.

Each member sends its current shards and its HTTP address. Every assignment contains the complete
map from partition to address, so each member learns the addresses of all shards from it.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from streams.group.shard_plan import Claim, Directory, plan

__all__ = ["ShardAssignor"]

log = logging.getLogger(__name__)

_FORMAT = 0


class ShardAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka is untyped
    """`plan` behind the interface that aiokafka expects. Each member has one object.

    aiokafka uses the object in place of a class, in its own thread; `claim`, `rejoin` and
    `directory` may be used from any thread.
    """

    name = "emberline-shards"

    def __init__(
        self,
        control: str,
        partitions: int,
        address: Callable[[], str],
        stored: Callable[[], frozenset[int]] = frozenset,
    ) -> None:
        """`control` names the one topic that belongs to no shard, `partitions` is the number of
        shards.

        `address` and `stored` are called at every join and return this member's HTTP address, and
        the shards of which it has a local store.
        """
        self._control = control
        self._partitions = partitions
        self._address = address
        self._stored = stored
        self._lock = threading.Lock()
        self._claim = Claim("")
        self._directory = Directory()

    @property
    def address(self) -> str:
        """This member's HTTP address."""
        return self._address()

    @property
    def directory(self) -> Directory:
        """The addresses of the latest assignment."""
        with self._lock:
            return self._directory

    def joined(self, generation: int) -> None:
        """Record the generation of the latest assignment."""
        with self._lock:
            self._claim = replace(self._claim, generation=generation)

    def rejoin(self) -> None:
        """Change the metadata of the next join.

        If a follower joins again with equal metadata, the group tells it the current generation
        again, and no new generation begins.
        """
        with self._lock:
            self._claim = replace(self._claim, rejoin=self._claim.rejoin + 1)

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member sends when it joins."""
        with self._lock:
            claim = self._claim = replace(
                self._claim, address=self._address(), stored=self._stored()
            )
        return ConsumerProtocolMemberMetadata(_FORMAT, sorted(topics), claim.encode())

    def assign(
        self,
        cluster: ClusterMetadata,
        members: Mapping[str, ConsumerProtocolMemberMetadata],
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Plan for the whole group; called on the member that leads the group.

        The partition count comes from the setting: every worker has checked it against the topics,
        while `cluster` may not know a topic yet.
        """
        claims = _claims(members)
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
        try:
            directory = Directory.decode(assignment.user_data)
        except ValueError as error:
            log.warning("the assignment tells no addresses (%s): is its leader a worker?", error)
            directory = Directory()
        with self._lock:
            self._directory = directory
            self._claim = replace(
                self._claim,
                shards=frozenset(p.partition for p in found if p.topic != self._control),
                control=any(p.topic == self._control for p in found),
            )


def _claims(members: Mapping[str, ConsumerProtocolMemberMetadata]) -> dict[str, Claim]:
    """The claim of each member. A member without a readable claim gets no shard; only if no member
    has a readable claim, all members are treated alike.
    """
    claims: dict[str, Claim] = {}
    for member, metadata in members.items():
        try:
            claims[member] = Claim.decode(metadata.user_data)
        except ValueError as error:
            log.warning("member %.200s of the group is given nothing: %s", member, error)
    return claims or {member: Claim("") for member in members}

"""This worker's membership in the group of workers: its assignment, and its requests to the
group.
"""

import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streams.clock import steady_s
from streams.group.assignor import ShardAssignor
from streams.group.shard_plan import Directory
from streams.settings import Settings

__all__ = ["SESSION_S", "Assigned", "Membership", "TransportLink"]

SESSION_S = 10.0
"""A worker that the group has not heard of for so long may lose its shards to others."""
_STORE = re.compile(r"shard-([0-9]{1,6})")
"""The folder of a shard's store in the data folder."""


class TransportLink(Protocol):
    """The interface of the transport that the membership uses."""

    @property
    def generation(self) -> int:
        """The generation of the group that this worker has joined last; below 0 if it is in no
        group. May be called from any thread.
        """
        ...

    def rejoin(self) -> None:
        """Join again soon. May be called from any thread."""
        ...

    async def tell(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit next offsets by (topic, partition)."""
        ...


@dataclass(frozen=True, slots=True)
class Assigned:
    """The shards of this worker in one generation of the group, and the workers of the other
    shards.
    """

    shards: frozenset[int]
    control: bool
    generation: int
    directory: Directory


class Membership:
    """This worker's membership in the group.

    `topics` are the topics with one partition for each shard, `control` is the coordinator's topic.
    `address` is called at every join and returns the worker's HTTP address. `on_assigned` runs in
    the app's loop, in the order of the generations, and must not wait, because the group does not
    wait for it. `on_failed` gets the error that ended the membership. `now` gives seconds that also
    count while the process is suspended.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Iterable[str],
        control: str,
        *,
        address: Callable[[], str],
        on_assigned: Callable[[Assigned], Awaitable[None]],
        on_failed: Callable[[BaseException], None],
        now: Callable[[], float] = steady_s,
    ) -> None:
        self.settings = settings
        self.topics = (*topics, control)
        self.control = control
        self.assignor = ShardAssignor(control, settings.partitions, address, self._stored)
        self.on_assigned = on_assigned
        self.on_failed = on_failed
        self._member_file = settings.data_dir / "member"
        self._link: TransportLink | None = None
        self._now = now
        self._heard = now()
        self._told: int | None = None
        self._first = True
        self._lock = threading.Lock()
        self.lapses = 0
        """How often the group was silent for so long that others may have had the shards."""

    def heard(self, at: float) -> None:
        """The group has acknowledged a request that this worker sent at that time (by `now`). The
        time of sending counts, because the answer may be read much later. May be called from any
        thread.
        """
        with self._lock:
            if at - self._heard >= SESSION_S:
                self.lapses += 1
            self._heard = max(at, self._heard)

    def disowned(self) -> None:
        """The group does not know this worker any more. May be called from any thread."""
        with self._lock:
            self._heard = float("-inf")

    async def assigned(self, assigned: Assigned, at: float) -> None:
        """Pass on an assignment that was requested at that time (by `now`). Runs in the app's
        loop.

        The assignment counts as an acknowledgement of the group only after all actors of this
        worker know of it.
        """
        await self.on_assigned(assigned)
        self._told = assigned.generation
        self.heard(at)

    def silent_s(self) -> float:
        """Seconds since the group last acknowledged this worker.

        Infinite while the group has a generation that this worker does not know: that generation
        may assign this worker's shards to others.
        """
        if self._link is not None and self._told not in (None, self._link.generation):
            return float("inf")
        return self._now() - self._heard

    def attach(self, link: TransportLink) -> None:
        """Called by the transport when it has started."""
        self._link = link

    def _stored(self) -> frozenset[int]:
        """The shards with a store in the data folder."""
        names = (_STORE.fullmatch(one.name) for one in self.settings.data_dir.glob("shard-*"))
        return frozenset(int(name[1]) for name in names if name is not None)

    @property
    def former_member(self) -> tuple[str, str]:
        """The member id of the last process with this data folder, and its `group_instance_id`;
        both may be empty.
        """
        try:
            member, _, instance = self._member_file.read_text().partition("\n")
        except FileNotFoundError:
            return "", ""
        return member, instance

    def remember(self, member: str) -> None:
        """Store this process's member id for the next process."""
        self._member_file.parent.mkdir(parents=True, exist_ok=True)
        instance = self.settings.group_instance_id
        self._member_file.write_text(f"{member}\n{instance}" if instance else member)

    def misplaced(self, assigned: Assigned) -> bool:
        """Whether the first assignment of this process has shards under another address than its
        own. The group gives a static member the assignment of its predecessor, whose address may
        have been another one. Later assignments are made from what this process has claimed.
        """
        first, self._first = self._first, False
        if not first or not self.settings.group_instance_id:
            return False
        told = [assigned.directory.shards.get(partition) for partition in assigned.shards]
        if assigned.control:
            told.append(assigned.directory.control)
        return any(address != self.assignor.address for address in told)

    def request_rejoin(self) -> None:
        """Ask for a new generation, soon. May be called from any thread."""
        if self._link is not None:
            self.assignor.rejoin()
            self._link.rejoin()

    async def tell_offsets(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit next offsets by (topic, partition), for tools that show lag.

        emberline itself never reads them, so an error is only logged.
        """
        if self._link is not None:
            await self._link.tell(offsets)

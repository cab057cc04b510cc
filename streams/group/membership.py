"""This worker's place in the group of workers: what it is given, and what it may ask for."""

import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streams.clock import steady_s
from streams.group.assignor import ShardAssignor
from streams.group.shard_plan import Directory
from streams.settings import Settings

__all__ = ["SESSION_S", "Assigned", "Link", "Membership"]

SESSION_S = 10.0
"""A worker that the group has not heard of for so long may lose its shards to others."""


class Link(Protocol):
    """The transport's side of the membership."""

    @property
    def generation(self) -> int:
        """That of the group which this worker has joined last; below 0 where it is in none.
        From any thread."""
        ...

    def rejoin(self) -> None:
        """Join again soon. From any thread."""
        ...

    async def tell(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit next offsets by (topic, partition)."""
        ...


@dataclass(frozen=True, slots=True)
class Assigned:
    """What this worker holds in one generation of the group, and who holds the rest."""

    shards: frozenset[int]
    control: bool
    generation: int
    directory: Directory


class Membership:
    """This worker's place in the group.

    `topics` are those with one partition a shard, `control` the one of the coordinator.
    `address` is asked for the worker's HTTP address at every join. `on_assigned` runs in
    the app's loop, in the order of the generations, and must not wait for anything: the
    group does not wait for it. `on_failed` gets the error that ended membership.
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
    ) -> None:
        self.settings = settings
        self.topics = (*topics, control)
        self.control = control
        self.assignor = ShardAssignor(control, settings.partitions, address)
        self.on_assigned = on_assigned
        self.on_failed = on_failed
        self._member_file = settings.data_dir / "member"
        self._link: Link | None = None
        self._heard = steady_s()
        self._told: int | None = None
        self._lock = threading.Lock()
        self.lapses = 0
        """How often the group was silent for so long that others may have had the shards."""

    def heard(self, at: float) -> None:
        """The group has acknowledged what this worker said at that time (`steady_s`): not when
        the answer was read, which may be long after. From any thread."""
        with self._lock:
            if at - self._heard >= SESSION_S:
                self.lapses += 1
            self._heard = max(at, self._heard)

    def disowned(self) -> None:
        """The group does not know this worker any more. From any thread."""
        with self._lock:
            self._heard = float("-inf")

    async def assigned(self, assigned: Assigned, at: float) -> None:
        """Hand on an assignment that was asked for at that time (`steady_s`). In the app's loop.

        Only once all that runs here knows of it does it count as a word from the group.
        """
        await self.on_assigned(assigned)
        self._told = assigned.generation
        self.heard(at)

    def silent_s(self) -> float:
        """For how long the group has not acknowledged this worker, in seconds.

        Without end while the group has a generation that this worker has not been told of: it
        may have given away what is held here.
        """
        if self._link is not None and self._told not in (None, self._link.generation):
            return float("inf")
        return steady_s() - self._heard

    def attach(self, link: Link) -> None:
        """Called by the transport when it has started."""
        self._link = link

    @property
    def former_member(self) -> str:
        """Under which id a process with this data folder was last in the group; may be empty."""
        try:
            return self._member_file.read_text()
        except FileNotFoundError:
            return ""

    def remember(self, member: str) -> None:
        """Keep this process's id for its successor."""
        self._member_file.parent.mkdir(parents=True, exist_ok=True)
        self._member_file.write_text(member)

    def request_rejoin(self) -> None:
        """Ask for a new generation, soon. May be called from any thread."""
        if self._link is not None:
            self.assignor.rejoin()
            self._link.rejoin()

    async def tell_offsets(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit next offsets by (topic, partition) for tools that show lag.

        Nothing relies on them, so an error is only logged.
        """
        if self._link is not None:
            await self._link.tell(offsets)

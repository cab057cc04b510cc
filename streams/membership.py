"""This worker's place in the group of workers: what it is given, and what it may ask for."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streams.assignor import ShardAssignor
from streams.settings import Settings
from streams.shard_plan import Directory

__all__ = ["SESSION_S", "Assigned", "Link", "Membership"]

SESSION_S = 10.0
"""A worker that the group has not heard of for so long may lose its shards to others."""


class Link(Protocol):
    """The transport's side of the membership."""

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
        self._heard = time.monotonic()

    def heard(self, at: float) -> None:
        """The group has acknowledged what this worker said at that time (`time.monotonic`): not
        when the answer was read, which may be long after. From any thread."""
        self._heard = at

    def disowned(self) -> None:
        """The group does not know this worker any more. From any thread."""
        self._heard = float("-inf")

    def silent_s(self) -> float:
        """For how long the group has not acknowledged this worker, in seconds."""
        return time.monotonic() - self._heard

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

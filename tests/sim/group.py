"""The group of workers, simulated: joins, sessions, generations, heartbeats.

As Kafka's coordinator of groups: a new generation begins once all members have joined again, or
their time is over; a member that is not heard of for `SESSION_S` is out. The leader's plan is the
real one (`ShardAssignor.assign`). `Link` is a worker's side, as streams/group/transport.py has it
around aiokafka: it runs with its worker, and is killed and frozen with it.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from agents.worker.member import subscribed
from streams.group.assignor import ShardAssignor
from streams.group.membership import SESSION_S, Assigned, Membership
from streams.group.transport import HEARTBEAT_S, REBALANCE_S, REQUEST_S
from streams.settings import Settings
from tests.sim.loop import SimLoop
from tests.sim.reached import reached

__all__ = ["GroupRefusal", "Link", "SimGroup"]

_RETRY_S = 0.1
_LOOK_S = 0.5
#: As `group.initial.rebalance.delay.ms`: the first generation waits for others this long.
_FIRST_S = 1.0


class GroupRefusal(Exception):
    """The group answers with an error; its text is Kafka's code."""


@dataclass
class _Member:
    id: str
    metadata: Any
    heard: float
    #: Answers of the join and of the sync that it waits for.
    joining: "asyncio.Future[int] | None" = None


@dataclass
class SimGroup:
    """The coordinator's side; belongs to no worker. `delay_s` gives how long each message takes;
    None loses it.
    """

    loop: SimLoop
    random: Random
    delay_s: Callable[[str], float | None]
    generation: int = 0
    _members: dict[str, _Member] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _rebalancing: bool = False
    _began: float = 0.0
    _plan: Mapping[str, ConsumerProtocolMemberAssignment] = field(default_factory=dict)
    _assignor: ShardAssignor | None = None

    def start(self) -> None:
        """Look at sessions and joins from now on."""
        self.loop.later(_LOOK_S, self._look)

    @property
    def members(self) -> int:
        """How many there are."""
        return len(self._members)

    def _look(self) -> None:
        now = self.loop.time()
        for member in list(self._members.values()):
            if member.joining is None and now - member.heard > SESSION_S:
                reached("group: session timed out")
                self._remove(member.id)
        if self._rebalancing:
            late = [m for m in self._members.values() if m.joining is None]
            if late and now - self._began > REBALANCE_S:
                reached("group: a member came too late to a rebalance")
                for member in late:
                    del self._members[member.id]
            self._complete()
        self.loop.later(_LOOK_S, self._look)

    def _remove(self, member_id: str) -> None:
        if self._members.pop(member_id, None) is not None:
            self._rebalance()

    def _rebalance(self) -> None:
        if not self._rebalancing:
            self._rebalancing, self._began = True, self.loop.time()

    def _complete(self) -> None:
        if not self._members:
            self._rebalancing = False
            return
        waited = self.loop.time() - self._began >= _FIRST_S
        if not waited or any(m.joining is None for m in self._members.values()):
            return
        self._rebalancing = False
        self.generation += 1
        assert self._assignor is not None
        metadata = {member.id: member.metadata for member in self._members.values()}
        self._plan = self._assignor.assign(None, metadata)
        for member in self._members.values():
            joining, member.joining, member.heard = member.joining, None, self.loop.time()
            if joining is not None and not joining.done():
                joining.set_result(self.generation)

    # -- requests of members, as they arrive

    def joined(
        self, member_id: str, metadata: Any, assignor: ShardAssignor
    ) -> "tuple[str, asyncio.Future[int]]":
        """A member joins, or joins again; without an id it gets one."""
        self._assignor = self._assignor or assignor
        if member_id and member_id not in self._members:
            raise GroupRefusal("UNKNOWN_MEMBER_ID")
        name = member_id or f"member-{next(self._numbers)}"
        member = self._members.get(name)
        waiting: asyncio.Future[int] = self.loop.create_future()
        if member is None:
            member = self._members[name] = _Member(name, metadata, self.loop.time())
            self._rebalance()
        elif not self._rebalancing and member.metadata != metadata:
            self._rebalance()
        elif not self._rebalancing:
            # nothing new: the present generation is told again
            waiting.set_result(self.generation)
            return name, waiting
        member.metadata, member.heard = metadata, self.loop.time()
        if member.joining is not None and not member.joining.done():
            member.joining.cancel()
        member.joining = waiting
        return name, waiting

    def synced(self, member_id: str, generation: int) -> ConsumerProtocolMemberAssignment:
        """A member asks for its assignment."""
        self._check(member_id, generation)
        return self._plan[member_id]

    def beat(self, member_id: str, generation: int) -> None:
        """A heartbeat."""
        self._check(member_id, generation)
        self._members[member_id].heard = self.loop.time()

    def left(self, member_id: str) -> None:
        """A member leaves in an orderly way."""
        self._remove(member_id)

    def _check(self, member_id: str, generation: int) -> None:
        member = self._members.get(member_id)
        if member is None:
            raise GroupRefusal("UNKNOWN_MEMBER_ID")
        if generation != self.generation:
            raise GroupRefusal("ILLEGAL_GENERATION")
        member.heard = self.loop.time()
        if self._rebalancing:
            raise GroupRefusal("REBALANCE_IN_PROGRESS")

    async def ask(self, worker: str, work: Callable[[], Any]) -> Any:
        """Sends a request to the group and waits for its answer; both may be late or lost.

        Raises TimeoutError, GroupRefusal.
        """
        answer: asyncio.Future[Any] = self.loop.create_future()

        def arrive() -> None:
            try:
                found, error = work(), None
            except GroupRefusal as refused:
                found, error = None, refused
            back = self.delay_s(worker)
            if back is not None:
                self.loop.later(back, tell, found, error)

        def tell(found: Any, error: GroupRefusal | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        there = self.delay_s(worker)
        if there is not None:
            self.loop.later(there, arrive)
        async with asyncio.timeout(REQUEST_S):
            return await answer


class Link:
    """One worker's connection to the group."""

    def __init__(
        self, worker: str, group: SimGroup, settings: Settings, membership: Membership
    ) -> None:
        self._worker = worker
        self._group = group
        self._settings = settings
        self._membership = membership
        self._now = group.loop.time
        self._rejoin = True
        self._member_id = ""
        self.generation = -1
        membership.attach(self)

    def rejoin(self) -> None:
        """See `TransportLink.rejoin`."""
        self._rejoin = True

    async def tell(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Nothing reads them."""

    async def run(self) -> None:
        """Stay in the group until cancelled."""
        former, _ = self._membership.former_member
        if former:
            try:
                await self._group.ask(self._worker, lambda: self._group.left(former))
            except TimeoutError:
                reached("group: a former member was not taken out")
        while True:
            try:
                if self._rejoin:
                    self._rejoin = False
                    await self._join()
                    continue
                await self._beat()
            except TimeoutError:
                reached("group: no answer")
            except GroupRefusal as refused:
                if str(refused) != "REBALANCE_IN_PROGRESS":
                    reached("group: member disowned")
                    self._member_id, self.generation = "", -1
                    self._membership.disowned()
                self._rejoin = True
            await asyncio.sleep(_RETRY_S if self._rejoin else HEARTBEAT_S)

    async def leave(self) -> None:
        """Leave in an orderly way."""
        try:
            member = self._member_id
            await self._group.ask(self._worker, lambda: self._group.left(member))
        except TimeoutError:
            reached("group: not left")

    async def _join(self) -> None:
        group, assignor = self._group, self._membership.assignor
        metadata = assignor.metadata(subscribed(self._settings))
        member_id = self._member_id
        try:
            name, joining = await group.ask(
                self._worker, lambda: group.joined(member_id, metadata, assignor)
            )
            async with asyncio.timeout(REBALANCE_S + REQUEST_S):
                generation = await joining
        except (TimeoutError, asyncio.CancelledError) as error:
            self._rejoin = True
            if isinstance(error, asyncio.CancelledError) and not _replaced(error):
                raise
            raise TimeoutError from error
        self._member_id, self.generation = name, generation
        try:
            assignment = await group.ask(self._worker, lambda: group.synced(name, generation))
        except (TimeoutError, GroupRefusal):
            self._rejoin = True
            raise
        assignor.on_assignment(assignment)
        found = assignment.partitions()
        self._membership.remember(name)
        assignor.joined(generation)
        held = frozenset(p.partition for p in found if p.topic != self._membership.control)
        control = any(p.topic == self._membership.control for p in found)
        assigned = Assigned(held, control, generation, assignor.directory)
        at = self._now()
        # the app's loop takes it up a little later than the group's thread has it
        await asyncio.sleep(self._group.random.random() * 0.05)
        await self._membership.assigned(assigned, at)

    async def _beat(self) -> None:
        sent, member, generation = self._now(), self._member_id, self.generation
        await self._group.ask(self._worker, lambda: self._group.beat(member, generation))
        self._membership.heard(sent)


def _replaced(error: asyncio.CancelledError) -> bool:
    """Whether a newer join of the same member has taken the place of this one."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()

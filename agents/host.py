"""The shards that run in this worker, and the coordinator where it is this worker's.

An assignment only says what should run. Every actor has a seat with a task of its own, so a
cold shard delays no other, and nothing here makes the group wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from agents.seat import Actor, Gate, Office, Seat
from agents.shard_protocol import NotHeld, Shard, ShardStatus, SourceSize
from streams.membership import SESSION_S
from streams.shard_plan import Directory

__all__ = [
    "Actor",
    "Deliver",
    "MakeActor",
    "MakeShard",
    "NotHeld",
    "Shard",
    "ShardHost",
    "ShardStatus",
    "SourceSize",
]

log = logging.getLogger(__name__)

LEAVE_S = 30.0


Deliver = Callable[[Shard, object], Awaitable[None]]
"""Sends a shard's fetched batch by way of the ingest agent to its `offer`; waits for room."""

MakeShard = Callable[[int, Deliver], Shard]
MakeActor = Callable[[], Actor]


class ShardHost:
    """Keeps running what this worker is assigned, and nothing else.

    `on_failed` is called once with the error that has to end the process: a Fatal one, or
    one that nobody foresaw. `companions` run whatever is assigned. `deliver` and
    `request_rejoin` belong to the app, see agents/app.py. `silent_s` says for how many seconds
    the group has not acknowledged this worker.
    """

    def __init__(
        self,
        gate: Gate,
        make_shard: MakeShard,
        make_coordinator: MakeActor | None = None,
        *,
        companions: Mapping[str, MakeActor] = MappingProxyType({}),
        deliver: Deliver,
        request_rejoin: Callable[[], None],
        on_failed: Callable[[BaseException], None],
        silent_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._make_shard = make_shard
        self._make_coordinator = make_coordinator
        self._make_companions = companions
        self._deliver = deliver
        self._silent_s = silent_s
        self._office = Office(gate, request_rejoin, on_failed)
        self._seats: dict[int, Seat[Shard]] = {}
        self._control: Seat[Actor] | None = None
        self._companions: list[Seat[Actor]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self.generation = -1
        self.directory = Directory()

    @property
    def shards(self) -> dict[int, Shard | None]:
        """Shards assigned here; None between two lives of one."""
        return {partition: seat.actor for partition, seat in sorted(self._seats.items())}

    @property
    def coordinates(self) -> bool:
        """Whether the coordinator is this worker's."""
        return self._control is not None

    @property
    def ready(self) -> bool:
        """Whether there was an assignment and all of its shards are ready."""
        return self.generation >= 0 and all(
            shard is not None and shard.ready for shard in self.shards.values()
        )

    @property
    def in_touch(self) -> bool:
        """Whether the group has heard of this worker lately: if not, what it holds may be
        another's by now, who knows more."""
        return self._silent_s() < SESSION_S

    def check_in_touch(self) -> None:
        """Raises NotHeld where it is not."""
        if not self.in_touch:
            raise NotHeld(
                "the group has not acknowledged this worker lately: another may have its shards"
            )

    def start(self) -> None:
        """Start what runs whatever is assigned."""
        self._companions = [
            Seat(name, make, self._office, self.generation)
            for name, make in self._make_companions.items()
        ]

    async def assigned(
        self, partitions: frozenset[int], control: bool, generation: int, directory: Directory
    ) -> None:
        """Start what is new, leave what is not held any more, let the rest go on.

        Never waits, so assignments take effect in the order of the calls.
        """
        log.info(
            "generation %d: shards %s%s",
            generation,
            ", ".join(map(str, sorted(partitions))) or "none",
            ", coordinator" if control else "",
        )
        self.generation, self.directory = generation, directory
        for partition in self._seats.keys() - partitions:
            self._leave(self._seats.pop(partition))
        for partition in sorted(partitions):
            if partition not in self._seats:
                self._seats[partition] = self._seat(partition, generation)
            self._seats[partition].renew(generation)
        if not control and self._control is not None:
            self._leave(self._control)
            self._control = None
        if control and self._make_coordinator is not None:
            if self._control is None:
                name = "coordinator"
                after = self._former(name)
                self._control = Seat(name, self._make_coordinator, self._office, generation, after)
            self._control.renew(generation)

    async def stop(self) -> None:
        """Cancel everything and wait until all of it has let go."""
        for seat in self._seats.values():
            self._leave(seat)
        for other in (*self._companions, *filter(None, [self._control])):
            self._leave(other)
        self._seats, self._control, self._companions = {}, None, []
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=LEAVE_S)

    def _seat(self, partition: int, generation: int) -> Seat[Shard]:
        name = f"shard {partition}"

        def make() -> Shard:
            return self._make_shard(partition, self._deliver)

        return Seat(name, make, self._office, generation, self._former(name))

    def _former(self, name: str) -> list[asyncio.Task[None]]:
        return [task for task in self._leaving if task.get_name() == name]

    def _leave(self, seat: Seat[Shard] | Seat[Actor]) -> None:
        seat.task.cancel()
        self._leaving.add(seat.task)
        seat.task.add_done_callback(self._leaving.discard)

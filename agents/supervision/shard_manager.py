"""Runs the shards that are assigned to this worker, and the coordinator if it is assigned here.

An assignment only sets what should run. Every actor has a supervisor with its own task, so a shard
that recovers slowly delays no other, and the group never waits for this module.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from agents.shard.ownership import Ownership
from agents.shard.protocol import NotHeld, Shard, ShardStatus, SourceSize
from agents.supervision.supervisor import Actor, Gate, SupervisionContext, Supervisor
from streams.group.shard_plan import Directory
from streams.metrics.meters import Meters

__all__ = [
    "Actor",
    "Actors",
    "Deliver",
    "MakeActor",
    "MakeShard",
    "NotHeld",
    "Shard",
    "ShardManager",
    "ShardStatus",
    "SourceSize",
]

log = logging.getLogger(__name__)

LEAVE_S = 30.0
_COORDINATOR = "coordinator"


Deliver = Callable[[Shard, object], Awaitable[None]]
"""Sends a shard's fetched batch by way of the ingest agent to its `offer`; waits for room."""

MakeShard = Callable[[int, Deliver], Shard]
MakeActor = Callable[[], Actor]


@dataclass(frozen=True)
class Actors:
    """How the actors of one worker are made.

    `beside` run where the coordinator runs, `companions` with any assignment. Every actor waits at
    `gate` before it starts. `ownership` is shared by all shards, and is notified of every new
    generation.
    """

    gate: Gate
    shard: MakeShard
    coordinator: MakeActor | None = None
    beside: Mapping[str, MakeActor] = field(default_factory=dict)
    companions: Mapping[str, MakeActor] = field(default_factory=dict)
    ownership: Ownership = field(default_factory=Ownership)
    meters: Meters = field(default_factory=Meters)


class ShardManager:
    """Runs exactly the actors that are assigned to this worker.

    `on_failed` is called once with the error that has to end the process: a Fatal one, or an
    unforeseen one. `deliver` and `request_rejoin` belong to the app, see agents/worker/app.py.
    """

    def __init__(
        self,
        actors: Actors,
        *,
        deliver: Deliver,
        request_rejoin: Callable[[], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._actors = actors
        self._deliver = deliver
        self._ownership = actors.ownership
        self._context = SupervisionContext(actors.gate, request_rejoin, on_failed, actors.meters)
        self._supervisors: dict[int, Supervisor[Shard]] = {}
        self._control: dict[str, Supervisor[Actor]] = {}
        self._companions: list[Supervisor[Actor]] = []
        self._leaving: dict[asyncio.Task[None], asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self.generation = -1
        self.directory = Directory()

    @property
    def shards(self) -> dict[int, Shard | None]:
        """The shards assigned here; None for a shard that is being restarted."""
        return {
            partition: supervisor.actor
            for partition, supervisor in sorted(self._supervisors.items())
        }

    @property
    def coordinates(self) -> bool:
        """Whether the coordinator is assigned to this worker."""
        return _COORDINATOR in self._control

    @property
    def ready(self) -> bool:
        """Whether there was an assignment and all of its shards are ready."""
        return self.generation >= 0 and all(
            shard is not None and shard.ready for shard in self.shards.values()
        )

    @property
    def in_touch(self) -> bool:
        """Whether the group has acknowledged this worker recently; see `Ownership`."""
        return self._ownership.in_touch

    def check_in_touch(self) -> None:
        """Raises NotHeld if the group has not."""
        self._ownership.check()

    def start(self) -> None:
        """Start the actors that run with any assignment."""
        self._watch = asyncio.create_task(self._ownership.watch(), name="ownership")
        self._watch.add_done_callback(self._watched)
        self._companions = [
            Supervisor(name, make, self._context, self.generation)
            for name, make in self._actors.companions.items()
        ]

    async def assigned(
        self, partitions: frozenset[int], control: bool, generation: int, directory: Directory
    ) -> None:
        """Start newly assigned actors, stop those that are not assigned any more, and keep the
        others.

        An actor is kept only if this worker took part in the previous generation. Otherwise another
        worker may have owned the shard meanwhile and changed it, so the shard is taken over again.
        Never waits, so assignments take effect in the order of the calls.
        """
        log.info(
            "generation %d: shards %s%s",
            generation,
            ", ".join(map(str, sorted(partitions))) or "none",
            ", coordinator" if control else "",
        )
        former, self.generation, self.directory = self.generation, generation, directory
        if generation != former:
            self._ownership.doubt()
        # a member that says nothing new may be told its generation once more
        went_on = generation in (former, former + 1)
        if not went_on and (self._supervisors or self._control):
            log.warning("generation %d was the last one here: shards are taken over again", former)
        for partition in self._supervisors.keys() - (partitions if went_on else set()):
            self._leave(self._supervisors.pop(partition))
        for partition in sorted(partitions):
            if partition not in self._supervisors:
                self._supervisors[partition] = self._supervisor(partition, generation)
            self._supervisors[partition].renew(generation)
        if not (control and went_on):
            for supervisor in self._control.values():
                self._leave(supervisor)
            self._control = {}
        if control:
            self._start_control(generation)

    def _start_control(self, generation: int) -> None:
        """The coordinator and what runs beside it, each with a supervisor of its own."""
        makers = dict(self._actors.beside)
        if self._actors.coordinator is not None:
            makers[_COORDINATOR] = self._actors.coordinator
        for name, make in makers.items():
            if name not in self._control:
                after = self._former(name)
                self._control[name] = Supervisor(name, make, self._context, generation, after)
            self._control[name].renew(generation)

    async def stop(self) -> None:
        """Cancel all actors and wait until all of them have released their resources."""
        for supervisor in self._supervisors.values():
            self._leave(supervisor)
        for other in (*self._companions, *self._control.values()):
            self._leave(other)
        self._supervisors, self._control, self._companions = {}, {}, []
        if self._watch is not None:
            self._watch.cancel()
        if self._leaving:
            await asyncio.wait(self._leaving.values(), timeout=LEAVE_S)

    def _watched(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled() and (error := watch.exception()) is not None:
            self._context.on_failed(error)

    def _supervisor(self, partition: int, generation: int) -> Supervisor[Shard]:
        name = f"shard {partition}"

        def make() -> Shard:
            return self._actors.shard(partition, self._deliver)

        return Supervisor(name, make, self._context, generation, self._former(name))

    def _former(self, name: str) -> list[asyncio.Task[None]]:
        return [task for task in self._leaving if task.get_name() == name]

    def _leave(self, supervisor: Supervisor[Shard] | Supervisor[Actor]) -> None:
        leaving = self._leaving[supervisor.task] = supervisor.leave()
        leaving.add_done_callback(lambda _: self._leaving.pop(supervisor.task))

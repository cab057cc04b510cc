"""Who may answer, and from which state of the sources."""

import asyncio
from typing import Any

from agents.scatter import visible
from agents.shard import agreement, audience, read, shard
from agents.shard.ownership import Ownership
from agents.supervision.shard_manager import ShardManager
from agents.supervision.supervisor import LEAVE_S, Supervisor
from streams.group.shard_plan import Directory
from streams.state.store import Store
from tests.sim.planted.planting import plant, short, unasked

__all__: list[str] = []


def _nothing_checked(*args: Any) -> None:
    """Checks nothing."""


plant(
    "a stale owner answers",
    what="a worker that others have taken for dead answers for the shards that were its own",
    faulty={
        (agreement, "check_owned"): _nothing_checked,
        (audience, "check_owned"): _nothing_checked,
        (shard, "check_owned"): _nothing_checked,
        (ShardManager, "check_in_touch"): _nothing_checked,
    },
    mended="582d199",
    found=40,
    seed=2,
    plan='{"workers":2,"partitions":1,"questions":30,"events":100,"users":5,"busy_s":60.0,'
    '"faults":["freeze","group silent","zombie"]}',
)


plant(
    "a silent group proves an owner",
    what="a worker whose group has not heard of it for long takes its shards for its own",
    faulty={(Ownership, "check"): _nothing_checked, (Store, "owned"): property(lambda self: True)},
    mended="6d6a63c",
    found=40,
    seed=2,
    plan='{"workers":2,"partitions":1,"questions":30,"events":100,"users":5,"busy_s":60.0,'
    '"faults":["freeze","group silent","zombie"]}',
)


# nor did who starts again wait for the group then: that alone keeps a fenced shard away now
plant(
    "a fenced shard takes its place back",
    what="a shard that another worker has taken over fences that one in turn",
    faulty={(Supervisor, "_later_than"): unasked, (Ownership, "acknowledged"): unasked},
    mended="9033630",
    found=80,
    seed=5,
    plan=short(workers=2, busy_s=40.0, commands=0, definitions=2, faults=["group silent"]),
)


plant(
    "a worker that wakes takes over",
    what="an actor that starts again fences its owner of now, though the group has been silent",
    faulty={(Ownership, "acknowledged"): unasked},
    found=40,
    seed=2,
    plan=short(workers=2, busy_s=40.0, faults=["group silent", "log: failed_step"]),
)


_assigned = ShardManager.assigned


async def _by_the_first_directory(
    self: ShardManager,
    partitions: frozenset[int],
    control: bool,
    generation: int,
    directory: Directory,
) -> None:
    known = directory if self.generation < 0 else self.directory
    await _assigned(self, partitions, control, generation, known)


plant(
    "the directory of a former generation",
    what="a worker asks for a shard where it was in the first generation that it knew",
    faulty={(ShardManager, "assigned"): _by_the_first_directory},
    found=30,
    seed=0,
    plan=short(workers=2, partitions=2, commands=0, definitions=2, events=20, faults=["restart"]),
)


plant(
    "rows of any version",
    what="a shard answers with the rows of a source whatever its state and version",
    faulty={(read, "check_held"): _nothing_checked},
    found=60,
    seed=4,
    plan=short(
        workers=2,
        partitions=2,
        busy_s=40.0,
        questions=60,
        definitions=16,
        jumps=10,
        commands=10,
        sources=4,
        users=8,
        faults=["log: slow", "peers"],
    ),
)


plant(
    "sources before the states are read",
    what="a worker that has just started calls known sources unknown",
    faulty={(visible, "states_read"): _nothing_checked},
    found=30,
    seed=1,
    plan=short(workers=2, questions=60, faults=["crash", "restart", "log: slow"]),
)


def _lost(self: Supervisor[Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(asyncio.wait([self.task], timeout=LEAVE_S))


plant(
    "the lost cancellation",
    what="what was assigned to another worker does not hear that it has to end",
    faulty={(Supervisor, "leave"): _lost},
    mended="6d6a63c",
    found=40,
    seed=2,
    plan=short(workers=2, partitions=2, commands=0, definitions=2, events=30, faults=["crash"]),
)

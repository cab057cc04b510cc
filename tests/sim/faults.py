"""The faults of workers, their group, their disks and clocks. Each is a coroutine that runs in the
phase with faults, beside all others, and is cancelled at its end.

The faults of the log itself are in tests/sim/log/faults.py; `log: ...` here switches them on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

from agents.scatter.errors import HiddenSource, Unavailable, UnknownSource
from agents.scatter.rows import SourceRows
from agents.views.state_view import StateView
from streams.kafka.purge import Purge
from tests.sim.disk import AfterCrash
from tests.sim.log.faults import Rates
from tests.sim.log.incidents import Frequencies, Incidents
from tests.sim.reached import reached

if TYPE_CHECKING:
    from tests.sim.worker import Process
    from tests.sim.world import Slot, World

__all__ = ["DRAWN", "FAULTS", "Fault"]

Fault = Callable[["World", Random], Awaitable[None]]

FAULTS: dict[str, Fault] = {}
"""By name, as a plan names them."""
DRAWN: list[str] = []
"""Those that seeds draw; others happen only in plans that name them."""


def _fault(name: str, *, drawn: bool = True) -> Callable[[Fault], Fault]:
    def named(fault: Fault) -> Fault:
        FAULTS[name] = fault
        if drawn:
            DRAWN.append(name)
        return fault

    return named


async def _pause(world: "World", random: Random, times: float) -> None:
    """Until the fault happens next: about so many times in the phase."""
    await asyncio.sleep(random.expovariate(times / world.plan.busy_s))


async def _running(world: "World", random: Random, times: float) -> "tuple[Slot, Process]":
    """A machine and the process that runs on it, when the fault happens next."""
    while True:
        await _pause(world, random, times)
        slot = random.choice(world.slots)
        if slot.process is not None and slot.process.runs:
            return slot, slot.process


@_fault("crash")
async def _crash(world: "World", random: Random) -> None:
    """A process is killed between any two of its callbacks, and started again."""
    while True:
        slot, _ = await _running(world, random, 3)
        after = random.choice((AfterCrash.UNFLUSHED, AfterCrash.FLUSHED))
        await world.crash(slot, after, steps=random.randrange(400))
        await asyncio.sleep(random.choice((0.0, 1.0, 5.0, 15.0)))
        world.begin(slot)


@_fault("disk")
async def _disk(world: "World", random: Random) -> None:
    """A crash takes the local stores with it, or parts of them."""
    while True:
        slot, process = await _running(world, random, 2)
        if random.random() < 0.3:
            world.disks.kept(slot.name, process.folder)
        await world.crash(slot, random.choice(list(AfterCrash)))
        await asyncio.sleep(random.random() * 3)
        world.begin(slot)


@_fault("freeze")
async def _freeze(world: "World", random: Random) -> None:
    """A process stands still for a while: shorter or longer than its session."""
    while True:
        _, process = await _running(world, random, 3)
        for_s = random.choice((1.0, 3.0, 9.0, 11.0, 14.0, 40.0)) * (0.8 + 0.4 * random.random())
        reached("freeze: longer than the session" if for_s > 10 else "freeze: short")
        world.freeze(process.name, for_s)
        await asyncio.sleep(for_s)
        world.questions.burst(random, process)


@_fault("zombie")
async def _zombie(world: "World", random: Random) -> None:
    """A process wakes two generations of the group later."""
    while True:
        slot, process = await _running(world, random, 1)
        if len(world.slots) < 2:
            continue
        began = world.group.generation
        world.freeze(process.name)
        other = random.choice([one for one in world.slots if one is not slot])
        for _ in range(60):
            await asyncio.sleep(1.0)
            if world.group.generation == began + 1 and other.process is not None:
                world.rejoin(other)
            if world.group.generation >= began + 2:
                reached("zombie: woke two generations later")
                break
        world.questions.burst(random, process)
        world.thaw(process.name)


@_fault("restart")
async def _restart(world: "World", random: Random) -> None:
    """Processes end in an orderly way, and start again: a rolling restart."""
    while True:
        slot, _ = await _running(world, random, 2)
        await world.stop(slot)
        await asyncio.sleep(random.random() * 5)
        world.begin(slot)


@_fault("group silent")
async def _group_silent(world: "World", random: Random) -> None:
    """The group does not hear a worker for some time, while the brokers of its logs do."""
    while True:
        await _pause(world, random, 2)
        slot = random.choice(world.slots)
        if slot.process is None:
            continue
        for_s = random.choice((2.0, 6.0, 12.0, 20.0))
        reached("group: worker cut off")
        process = slot.process
        world.cut_off.add(process.name)
        until = world.loop.time() + for_s
        while world.loop.time() < until:
            await asyncio.sleep(random.random() * 2)
            world.questions.burst(random, process)
        world.cut_off.discard(process.name)


@_fault("group slow")
async def _group_slow(world: "World", random: Random) -> None:
    """Messages of the group are late, so assignments reach the members at different moments."""
    world.group_late_s = random.choice((0.5, 1.5, 3.0))
    await asyncio.sleep(world.plan.busy_s)


@_fault("rejoins")
async def _rejoins(world: "World", random: Random) -> None:
    """Members ask for new generations for no reason."""
    while True:
        slot, _ = await _running(world, random, 4)
        world.rejoin(slot)


@_fault("peers")
async def _peers(world: "World", random: Random) -> None:
    """Questions between workers are late, or do not arrive."""
    world.peers_late_s, world.peers_lost = random.choice((0.2, 1.0)), random.choice((0.0, 0.2))
    await asyncio.sleep(world.plan.busy_s)


@_fault("clocks")
async def _clocks(world: "World", random: Random) -> None:
    """The clock of one machine is corrected, in either direction."""
    while True:
        await _pause(world, random, 3)
        slot = random.choice(world.slots)
        reached("clock jumped")
        slot.clock.jump(random.choice((-1, 1)) * random.choice((500, 20_000, 600_000, 86_400_000)))


@_fault("brokers away")
async def _brokers_away(world: "World", random: Random) -> None:
    """No broker answers for some time, or one; or one hangs."""
    network = world.kafka.network
    while True:
        await _pause(world, random, 1.5)
        one = random.randrange(network.nodes)
        which = random.choice((set(range(network.nodes)), {one}))
        held = network.hanging if random.random() < 0.3 else network.down
        reached("brokers away" if len(which) > 1 else "one broker away")
        held |= which
        await asyncio.sleep(random.choice((0.5, 3.0, 12.0, 20.0)))
        held -= which


@_fault("leaders", drawn=False)
async def _leaders(world: "World", random: Random) -> None:
    """Partitions get other leaders, which may know less for a moment; brokers come and go."""
    busy_s = world.plan.busy_s
    often = Frequencies(leader_change=busy_s / 20, broker_down=busy_s / 2, outage=busy_s)
    incidents, faults = Incidents(world.kafka, random, often), world.kafka.faults
    incidents.start()
    try:
        while True:
            faults.rates = replace(faults.rates, behind=random.choice((0.0, 0.3)))
            await asyncio.sleep(random.random() * busy_s / 2)
    finally:
        incidents.stop()


@_fault("compaction")
async def _compaction(world: "World", random: Random) -> None:
    """Compacted topics are compacted often."""
    while True:
        await _pause(world, random, 6)
        world.compact(random)


@_fault("open transactions")
async def _open_transactions(world: "World", random: Random) -> None:
    """Producers leave transactions open, so readers cannot read on."""
    while True:
        await _pause(world, random, 3)
        await world.produce_open(random)


@_fault("mail")
async def _mail(world: "World", random: Random) -> None:
    """The mail server does not answer, refuses, or forgets that it has accepted."""
    world.mail_trouble = random.choice((0.2, 0.7))
    await asyncio.sleep(world.plan.busy_s)


@_fault("old disks", drawn=False)
async def _old_disks(world: "World", random: Random) -> None:
    """A crash late in the phase leaves the local stores as they were at its beginning."""
    slot = random.choice(world.slots)
    for after in (AfterCrash.FLUSHED, AfterCrash.ROLLED_BACK):
        await asyncio.sleep(world.plan.busy_s * (0.2 + 0.2 * random.random()))
        if slot.process is None:
            return
        if after is AfterCrash.FLUSHED:
            world.disks.kept(slot.name, slot.process.folder)
        await world.crash(slot, after)
        world.begin(slot)


@_fault("views behind", drawn=False)
async def _views_behind(world: "World", random: Random) -> None:
    """Workers take in the states of sources one batch after the other, and slowly."""

    async def later(view: StateView, position: int) -> None:
        await asyncio.sleep(random.choice((0.0, 0.3, 1.0)))
        await advance(view, position)

    advance = StateView.advance
    faults = world.kafka.faults
    faults.rates = replace(faults.rates, few=1.0)
    with patch.object(StateView, "advance", later):
        await asyncio.sleep(world.plan.busy_s * 10)


@_fault("short purges", drawn=False)
async def _short_purges(world: "World", random: Random) -> None:
    """What has been processed is deleted every few seconds, not every ten minutes."""
    with patch.dict(Purge.__init__.__kwdefaults__, every_s=random.choice((1.0, 3.0))):
        await asyncio.sleep(world.plan.busy_s * 10)


@_fault("retention", drawn=False)
async def _retention(world: "World", random: Random) -> None:
    """The brokers delete what is older than its topic keeps, as far as it has been read."""
    while True:
        await _pause(world, random, 8)
        world.retain()


@_fault("stalled readers", drawn=False)
async def _stalled_readers(world: "World", random: Random) -> None:
    """Clients ask for the rows of sources and read none, until long after the phase."""
    while True:
        await _pause(world, random, 6)
        slot = random.choice(world.slots)
        if slot.process is not None and slot.process.runs:
            source = random.choice(world.workload.sources)
            slot.process.run(_hold(slot.process, source), f"stalled reader of {source}")


async def _hold(process: "Process", source: str) -> None:
    with suppress(HiddenSource, UnknownSource, Unavailable):
        async with SourceRows(process.member.context, source):
            reached("reader stalled")
            await asyncio.sleep(1_000.0)


def _log_fault(name: str) -> None:
    @_fault(f"log: {name}")
    async def fault(world: "World", random: Random) -> None:
        """A fault of the simulated log, for some stretches of the phase."""
        faults = world.kafka.faults
        while True:
            rate = random.choice((0.01, 0.05, 0.3))
            faults.rates = replace(faults.rates, **{name: rate})
            await _pause(world, random, 3)
            faults.rates = replace(faults.rates, **{name: 0.0})
            await _pause(world, random, 6)


for _name in Rates.names():
    _log_fault(_name)

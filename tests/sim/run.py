"""One run: a phase with faults, one without, then the check."""

import asyncio
import gc
import shutil
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from agents.shard.jobs import loop as shard_loop
from streams.state.rocks import StoreDamaged
from tests.sim import reached as rare
from tests.sim.checker import Violation, check, pending
from tests.sim.faults import FAULTS
from tests.sim.frames import frames_repeat
from tests.sim.history import recording
from tests.sim.loop import Limits, SimFailed, SimLoop, simulate
from tests.sim.plan import RunPlan
from tests.sim.verified import damage
from tests.sim.world import World

__all__ = ["Outcome", "run"]

#: A healed world becomes quiet within this virtual time.
QUIET_S = 400.0
_LOOK_S = 1.0
#: A broker that has refused to delete records is asked again after so long: in the product it is
#: longer than a run may take to become quiet.
_REFUSED_S = 60.0
_SHM = Path("/dev/shm")
_LIMITS = Limits(time_s=3_600.0, steps=3_000_000)


@dataclass
class Outcome:
    """How a run ended; `error` is empty if every promise was kept."""

    plan: RunPlan
    error: str = ""
    trace: str = ""
    virtual_s: float = 0.0
    real_s: float = 0.0
    steps: int = 0
    reached: Counter[str] = field(default_factory=Counter)


def run(plan: RunPlan) -> Outcome:
    """Run a plan. Never raises for what goes wrong inside."""
    outcome = Outcome(plan)
    rare.reset()
    began = time.perf_counter()
    folder = tempfile.mkdtemp(prefix="sim-", dir=_SHM if _SHM.is_dir() else None)
    try:
        # what a killed process was about to await is never awaited
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        gc.collect()  # what an earlier run has left would end in the middle of this one
        simulate(plan.seed, lambda loop: _main(loop, plan, Path(folder), outcome), limits=_LIMITS)
    except (Violation, SimFailed) as error:
        outcome.error = f"{type(error).__name__}: {error}"
    except Exception as error:
        outcome.error = f"{type(error).__name__}: {error!r}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outcome.real_s = time.perf_counter() - began
    outcome.reached = rare.counts()
    return outcome


async def _main(loop: SimLoop, plan: RunPlan, folder: Path, outcome: Outcome) -> None:
    started = loop.time()
    refused = patch.object(shard_loop, "_REFUSED_S", _REFUSED_S)
    with recording() as history, frames_repeat(), refused:
        world = World(loop, plan, folder, history)
        with world.disks.watched():
            try:
                await _phases(world)
                await _checked(world)
                if found := await damage(world):
                    raise Violation(found)
            finally:
                outcome.virtual_s = loop.time() - started
                outcome.steps = loop.steps
                outcome.trace = loop.trace
                for what, count in world.kafka.faults.reached.items():
                    rare.reached(f"log: {what}", count)


async def _phases(world: World) -> None:
    await world.open()
    faults = [
        asyncio.create_task(_fault(world, name), name=f"fault {name}") for name in world.plan.faults
    ]
    world.watching = asyncio.create_task(_watch(world), name="watch")
    try:
        following = asyncio.create_task(world.questions.follow(), name="follow")
        faults.append(following)
        asking = [asyncio.create_task(world.questions.run(), name="questions")]
        if world.plan.person_questions:
            asking.append(asyncio.create_task(world.questions.about_persons(), name="persons"))
        await world.workload.run()
        for each in asking:
            await each
    finally:
        for fault in faults:
            fault.cancel()
        ends = await asyncio.gather(*faults, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    world.heal()
    await _quiet(world)
    while unanswered := await world.questions.again():
        if not any("is damaged" in str(one.refusal) for one in unanswered):
            raise Violation(f"{unanswered[0]}: {unanswered[0].refusal}, though all is quiet")
        rare.reached("question: found a damaged store")
        await _quiet(world)


async def _checked(world: World) -> None:
    """Check; a check that finds a damaged store waits until the shard has filled it again."""
    while True:
        try:
            await check(world)
            return
        except StoreDamaged:
            rare.reached("check: found a damaged store")
        # not while the error is handled: its frames have a snapshot, which keeps the store open
        await _quiet(world)


async def _fault(world: World, name: str) -> None:
    await FAULTS[name](world, world.loop.stream(f"fault/{name}"))


async def _watch(world: World) -> None:
    """Looks after the processes, and at what they failed of."""
    while True:
        world.look()
        _no_failure(world)
        await asyncio.sleep(0.5)


def _no_failure(world: World) -> None:
    for process, error in world.failures:
        raise Violation(f"{process} failed: {error!r}") from error


async def _quiet(world: World) -> None:
    """Until nothing is left to do, twice in a row."""
    deadline = world.loop.time() + QUIET_S
    quiet = 0
    left: list[str] = []
    while quiet < 3:
        if world.loop.time() > deadline:
            raise Violation(f"not quiet after {QUIET_S:.0f} s: {'; '.join(left)}")
        await asyncio.sleep(_LOOK_S)
        _no_failure(world)
        left = pending(world)
        quiet = 0 if left else quiet + 1

"""Many runs: several processes, one outcome after the other, in the order in which they end."""

import faulthandler
import gc
import logging
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from unittest.mock import patch

from tests.sim.plan import RunPlan
from tests.sim.planted.faults import planted
from tests.sim.reached import missing
from tests.sim.run import Outcome, run

__all__ = ["Summary", "command", "environment", "one", "outcomes", "processes"]

#: One run in so many is made twice, and both must be the same.
TWICE = 100


def environment() -> dict[str, str]:
    """What a process that runs seeds needs in its environment, so that all do the same.

    Polars panics on records that are no Avro, which is foreseen; to print the stack takes long.
    """
    fixed = {"PYTHONHASHSEED": "0", "POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    return {**os.environ, **fixed}


def command(plan: RunPlan, plant: str = "") -> str:
    """The command that repeats a run."""
    planting = f" --planted '{plant}'" if plant else ""
    changes = plan.changes()
    return f"python -m tests.sim --seed {plan.seed}" + (
        f" --plan '{changes}'{planting}" if changes else planting
    )


def one(seed: int, changes: str = "", plant: str = "") -> Outcome:
    """One run; of some seeds two, which must be the same."""
    plan = RunPlan.changed(seed, changes)
    with planted(plant):
        outcome = run(plan)
        if seed % TWICE == TWICE - 1:
            again = run(plan)
            if again.trace != outcome.trace and not outcome.error:
                outcome.error = f"Undetermined: two runs differ, {outcome.trace}, {again.trace}"
    return outcome


@dataclass
class Summary:
    """What many runs have reached, and those that failed."""

    seeds: int = 0
    virtual_s: float = 0.0
    real_s: float = 0.0
    reached: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def take(self, outcome: Outcome) -> None:
        """Add a run."""
        self.seeds += 1
        self.virtual_s += outcome.virtual_s
        self.real_s += outcome.real_s
        self.reached.update(outcome.reached.keys())
        if outcome.error:
            self.failed.append(outcome)

    @property
    def missing(self) -> list[str]:
        """What so many runs should have reached and have not."""
        return missing(self.reached, self.seeds)


@contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for runs, each on a core of its own as long as there are any."""
    context = get_context("spawn")
    begun = context.Value("i", 0)
    with (
        patch.dict(os.environ, environment()),
        ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(begun,)) as pool,
    ):
        yield pool


def outcomes(
    seeds: Iterable[int], jobs: int, changes: str = "", plant: str = ""
) -> Generator[Outcome, None, None]:
    """The outcome of each seed, as they end."""
    left = iter(seeds)
    with processes(jobs) as pool:
        running: dict[Future[Outcome], int] = {}
        try:
            while True:
                while len(running) < 2 * jobs and (seed := next(left, None)) is not None:
                    running[pool.submit(one, seed, changes, plant)] = seed
                if not running:
                    return
                ended = next(as_completed(running))
                seed = running.pop(ended)
                yield ended.result()
        finally:
            for future in running:
                future.cancel()


def _begin(begun: "Synchronized[int]") -> None:
    """Begins a process for runs; `begun` counts them.

    Polars works in a thread of its own, even alone. To hand work over and back takes a third of a
    run if that thread is on another core, and it cannot use both.
    """
    with begun.get_lock():
        number = begun.value
        begun.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    _quiet()


def _quiet() -> None:
    """A process for runs logs nothing; native code tells of every panic that Python catches."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()  # modules: the collection before each run need not look at them
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = os.fdopen(kept, "w")
    faulthandler.enable(sys.stderr)

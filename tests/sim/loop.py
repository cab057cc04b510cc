"""A deterministic event loop: virtual time, seeded delays, and workers that can be killed.

One seed gives one history. asyncio promises that callbacks run in the order of `call_soon`, and
correct code may rely on that, so the loop keeps this order. It chooses what asyncio leaves open:
how late a timer is, how long work in a thread takes, and when in this time the work takes effect.
The simulated log chooses the rest: when each answer arrives.

Code runs for a worker if its context has the worker's name in `WORKER`; tasks, timers and threads
inherit the context. A killed worker never runs again, not even a `finally` block, as after SIGKILL.
"""

import asyncio
import gc
import heapq
import logging
import struct
import zlib
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from random import Random
from typing import Any, TypeVar

from tests.sim.executors import Executors
from tests.sim.tasks import SimFuture, SimTask, bury, where

__all__ = ["CALM", "WORKER", "Limits", "SimFailed", "SimLoop", "SimStuck", "Timing", "simulate"]

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The worker for which code runs; none for the log, the group and the test itself.
WORKER: ContextVar[str | None] = ContextVar("worker", default=None)

_STEP = struct.Struct("<dQ")
_TRACE_BYTES = 1 << 14
#: The loop's time at the start of a run: not 0, as on a machine that has been running.
_START_S = 1_000.0


class SimFailed(Exception):
    """A task of the simulation ended with an error that no code expects."""


class SimStuck(SimFailed):
    """Nothing can happen any more, or a limit is reached; the message names each task's place."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What the loop's chance may do; all in seconds.

    A callback takes `step_s`; a timer is late by at most `late_s`; work in a thread takes
    `thread_s` on average, and at most `slow_thread_s` in a share `slow_threads` of the cases.
    """

    step_s: float = 2e-6
    late_s: float = 0.001
    thread_s: float = 0.001
    slow_threads: float = 0.01
    slow_thread_s: float = 0.5


#: Without delays: for tests of single parts.
CALM = Timing(late_s=0.0, thread_s=0.0, slow_threads=0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run is stuck: after so much virtual time, or so many callbacks."""

    time_s: float = 7 * 86_400.0
    steps: int = 20_000_000


class SimLoop(asyncio.BaseEventLoop):
    """See the module. `random` is the loop's own; `stream` makes others of the same seed."""

    _ready: "deque[asyncio.Handle]"
    _stopping: bool
    _check_closed: Callable[[], None]

    def __init__(
        self, seed: int | str = 0, timing: Timing = Timing(), limits: Limits = Limits()
    ) -> None:
        super().__init__()
        self.seed = seed
        self.timing = timing
        self.random = self.stream("loop")
        #: The context of everything that belongs to no worker.
        self.outside = Context()
        self.steps = 0
        #: Told of each callback, if set: the time, the worker, and what runs.
        self.watch: Callable[[float, str | None, object], None] | None = None
        self._limits = limits
        self._now = _START_S
        self._numbers = 0
        #: Timers, in the order of their time and their making: tuples are compared fast.
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._step_s = timing.step_s
        #: Workers that are dead, frozen or counted.
        self._watched: set[str] = set()
        self._dead: dict[str, list[SimTask]] = {}
        self._frozen: dict[str, deque[asyncio.Handle]] = {}
        self._countdowns: dict[str, tuple[int, Callable[[], object]]] = {}
        self._executors = Executors(self)
        self._failures: list[BaseException] = []
        self._hash = blake2b(digest_size=16)
        self._unhashed = bytearray()
        self.set_exception_handler(lambda _, context: self._on_error(context))

    # -- what asyncio asks of a loop

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        """A task of the worker in whose context it runs."""
        self._check_closed()
        self._numbers += 1
        worker = WORKER.get() if context is None else context.get(WORKER)
        text = f"task {self._numbers}" if name is None else str(name)
        return SimTask(coro, self._numbers, worker, loop=self, name=text, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future whose hash is the same in every run."""
        self._numbers += 1
        return SimFuture(self._numbers, loop=self)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio, a little late."""
        late_s = self.timing.late_s
        if late_s:
            when += self.random.random() * late_s
        return self.exactly_at(when, callback, *args, context=context)

    def exactly_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As `call_at`, not late."""
        self._check_closed()
        self._numbers += 1
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, self._numbers, handle))
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Runs the function within one callback, somewhere between now and the result."""
        self._check_closed()
        return self._executors.submit(WORKER.get(), executor, func, *args)

    def _run_once(self) -> None:
        if self._failures:
            self.check()
        ready, timers = self._ready, self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:
            if not timers:
                raise self._stuck("nothing can happen any more")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self._step(handle)
        if self.steps > self._limits.steps:
            raise self._stuck(f"{self.steps} callbacks")
        if self._now - _START_S > self._limits.time_s:
            raise self._stuck(f"{self._now - _START_S:.0f} s of virtual time")

    def _step(self, handle: asyncio.Handle) -> None:
        known: Any = handle
        context = known._context
        worker = context.get(WORKER)
        if worker in self._watched and self._held(worker, handle):
            return
        callback = known._callback
        owner = getattr(callback, "__self__", None)
        if type(owner) is SimTask:
            number = owner.number
        else:
            name = getattr(callback, "__qualname__", "") or type(callback).__name__
            number = _number(name)
        if self.watch is not None:
            self.watch(self._now, worker, callback if owner is None else owner)
        self.steps += 1
        self._now += self._step_s
        self._unhashed += _STEP.pack(self._now, number)
        if len(self._unhashed) > _TRACE_BYTES:
            self._hash.update(self._unhashed)
            self._unhashed.clear()
        known._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is left out when its time comes."""

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing sleeps that would have to be woken."""

    def _on_error(self, context: dict[str, Any]) -> None:
        source = context.get("task") or context.get("future")
        if isinstance(source, SimTask) and source.worker in self._dead:
            return
        error = context.get("exception")
        if not isinstance(error, BaseException):
            error = RuntimeError(str(context.get("message")))
        error.add_note(f"{context.get('message')}: {source!r}")
        self._failures.append(error)

    # -- what a simulation asks for

    def stream(self, name: str) -> Random:
        """Random numbers of this seed that nothing else uses."""
        return Random(f"{self.seed}/{name}")

    def note(self, data: bytes) -> None:
        """Adds to the trace: two runs of one seed must note the same."""
        self._unhashed += data

    @property
    def trace(self) -> str:
        """A digest of everything that has happened."""
        so_far = self._hash.copy()
        so_far.update(self._unhashed)
        return so_far.hexdigest()

    def start(
        self, worker: str, coro: Coroutine[Any, Any, T], name: str | None = None
    ) -> "asyncio.Task[T]":
        """Runs a coroutine for a worker."""
        context = Context()
        context.run(WORKER.set, worker)
        return self.create_task(coro, name=name, context=context)

    def later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> None:
        """Calls something that belongs to no worker: neither kill nor freeze concerns it."""
        self.call_later(delay_s, callback, *args, context=self.outside)

    def kill(self, worker: str) -> None:
        """Nothing of this worker ever runs again. Its name cannot be used again."""
        if worker not in self._dead:
            self._watched.add(worker)
            self._dead[worker] = kept = [task for task in self._tasks() if task.worker == worker]
            for task in kept:
                task._log_destroy_pending = False
            self._frozen.pop(worker, None)
            self._countdowns.pop(worker, None)

    def is_dead(self, worker: str) -> bool:
        """Whether it has been killed."""
        return worker in self._dead

    def freeze(self, worker: str, for_s: float | None = None) -> None:
        """Holds back everything of this worker: for some time, or until `thaw`."""
        if worker not in self._dead:
            self._watched.add(worker)
            self._frozen.setdefault(worker, deque())
            if for_s is not None:
                self.later(for_s, self.thaw, worker)

    def thaw(self, worker: str) -> None:
        """Lets a frozen worker continue with what it held back, in order."""
        self._ready.extend(self._frozen.pop(worker, ()))

    def after_steps(self, worker: str, steps: int, callback: Callable[[], object]) -> None:
        """Calls back just before the worker would run its next callback after `steps` more."""
        self._watched.add(worker)
        self._countdowns[worker] = steps, callback

    def check(self) -> None:
        """Raises `SimFailed` for the first error that nothing awaited."""
        if self._failures:
            raise SimFailed(f"{self._failures[0]!r} at {self._now:.3f} s") from self._failures[0]

    def waiting(self) -> list[str]:
        """Each task that is not over, with its worker and the place where it waits."""
        alive = [task for task in self._tasks() if task.worker not in self._dead]
        return [
            f"{task.worker or '-'} {task.get_name()}: {where(task)}"
            + (" (frozen)" if task.worker in self._frozen else "")
            for task in sorted(alive, key=lambda task: task.number)
        ]

    def bury(self) -> None:
        """Closes the loop and lets go of all tasks without a word; call it at the end."""
        tasks = self._tasks()
        self.close()
        self._timers.clear()
        self._dead.clear()
        bury(tasks)

    def _held(self, worker: str, handle: asyncio.Handle) -> bool:
        """Whether the callback does not run now."""
        if worker in self._countdowns:
            steps, callback = self._countdowns.pop(worker)
            if steps > 0:
                self._countdowns[worker] = steps - 1, callback
            else:
                self.outside.run(callback)
        if worker in self._dead:
            return True
        if worker in self._frozen:
            self._frozen[worker].append(handle)
            return True
        if worker not in self._countdowns:
            self._watched.discard(worker)
        return False

    def _tasks(self) -> list[SimTask]:
        return [task for task in asyncio.all_tasks(self) if isinstance(task, SimTask)]

    def _stuck(self, why: str) -> SimStuck:
        tasks = "\n  ".join(self.waiting())
        return SimStuck(f"seed {self.seed}: {why} at {self._now - _START_S:.3f} s\n  {tasks}")


@cache
def _number(name: str) -> int:
    """Stands for a callback in the trace."""
    return zlib.crc32(name.encode()) | 1 << 40


def simulate(
    seed: int | str,
    main: Callable[[SimLoop], Coroutine[Any, Any, T]],
    timing: Timing = Timing(),
    limits: Limits = Limits(),
) -> T:
    """Runs `main` in a loop of its own; what it leaves is never run.

    Raises its error, `SimStuck`, or `SimFailed` for the first error of a task that nothing awaits.
    The garbage collector is off meanwhile: it would end things at moments that no seed decides.
    """
    loop = SimLoop(seed, timing, limits)
    collecting = gc.isenabled()
    gc.disable()
    try:
        result: T = loop.run_until_complete(loop.create_task(main(loop), name="main"))
        loop.check()
        return result
    finally:
        loop.bury()
        if collecting:
            gc.enable()

"""Work in threads: runs within one callback, in a seeded moment, in the order of its executor."""

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.sim.loop import SimLoop

__all__ = ["Executors"]

T = TypeVar("T")

#: A thread needs so long to take its next work: timers of the same moment have no order.
_BETWEEN_S = 1e-6


class Executors:
    """The threads of all workers. Every worker has threads of its own in each executor."""

    def __init__(self, loop: "SimLoop") -> None:
        self._loop = loop
        #: When each thread of a worker's executor is free again.
        self._free: dict[tuple[str | None, Executor | None], list[float]] = {}

    def submit(
        self,
        worker: str | None,
        executor: Executor | None,
        func: Callable[..., T],
        *args: Any,
    ) -> "asyncio.Future[T]":
        """A thread takes the work when it is free, in order; the function runs at once or only at
        the end of the time that it takes. Work that is cancelled before a thread has taken it does
        not run.
        """
        loop = self._loop
        future: asyncio.Future[T] = loop.create_future()
        free = self._free.get((worker, executor))
        if free is None:
            free = self._free[worker, executor] = [0.0] * _threads(executor)
        begin = max(loop.time(), free[0]) + _BETWEEN_S
        end = begin + self._duration()
        heapq.heapreplace(free, end)
        work = _Work(loop, future, func, args, begin)
        if loop.random.random() < 0.5:
            loop.exactly_at(end, work.run_and_tell)
        else:
            loop.exactly_at(begin, work.run)
            loop.exactly_at(end, work.tell)
        return future

    def _duration(self) -> float:
        random, timing = self._loop.random, self._loop.timing
        if timing.slow_threads and random.random() < timing.slow_threads:
            return random.random() * timing.slow_thread_s
        return 2 * random.random() * timing.thread_s


def _threads(executor: Executor | None) -> int:
    known: int = getattr(executor, "_max_workers", 6)
    return min(known, 8)


class _Work:
    __slots__ = ("_args", "_begin", "_error", "_func", "_future", "_loop", "_ran", "_result")

    def __init__(
        self,
        loop: "SimLoop",
        future: "asyncio.Future[Any]",
        func: Callable[..., Any],
        args: tuple[Any, ...],
        begin: float,
    ) -> None:
        self._loop = loop
        self._future = future
        self._func = func
        self._args = args
        self._begin = begin
        self._ran = False
        self._result: Any = None
        self._error: BaseException | None = None
        future.add_done_callback(self._ended)

    def run_and_tell(self) -> None:
        self.run()
        self.tell()

    def run(self) -> None:
        if self._ran:  # or cancelled in time
            return
        self._ran = True
        events._set_running_loop(None)  # as in a thread
        try:
            self._result = self._func(*self._args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._error = error
        finally:
            events._set_running_loop(self._loop)

    def tell(self) -> None:
        if not self._ran:  # a timer that overtook the other one
            self.run()
        if self._future.done():
            return
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._result)

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        if future.cancelled() and self._loop.time() < self._begin:
            self._ran = True

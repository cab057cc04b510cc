"""Tasks of a simulation: whose they are, where they wait, and how they end without running."""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

__all__ = ["SimFuture", "SimTask", "bury", "where"]

#: A coroutine may wait again while it is closed; so often that is tried.
_CLOSINGS = 20
_SHOWN = 3

#: Coroutines that cannot be closed live as long as the process: their end would be reported.
_immortal: list[object] = []


class SimTask(asyncio.Task[Any]):
    """A task with a number that is the same in every run of a seed, and its worker.

    The number is also its hash: sets of tasks have the same order in every run.
    """

    _log_destroy_pending: bool

    def __init__(
        self,
        coro: Any,
        number: int,
        worker: str | None,
        *,
        loop: asyncio.AbstractEventLoop,
        name: str,
        context: Context | None,
    ) -> None:
        self.number = number
        self.worker = worker
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future[Any]):
    """A future with such a number."""

    def __init__(self, number: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


def where(task: "asyncio.Task[Any]") -> str:
    """The innermost places at which a task waits, the last one first."""
    places = [f"{Path(name).name}:{line} {function}" for name, line, function in _frames(task)]
    return " < ".join(reversed(places[-_SHOWN:])) or "not begun"


def _frames(task: "asyncio.Task[Any]") -> Iterator[tuple[str, int, str]]:
    found: Any = task.get_coro()
    while found is not None:
        frame = next(
            (
                frame
                for name in ("cr_frame", "gi_frame", "ag_frame")
                if (frame := getattr(found, name, None)) is not None
            ),
            None,
        )
        if frame is not None:
            yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        found = next(
            (
                inner
                for name in ("cr_await", "gi_yieldfrom", "ag_await")
                if (inner := getattr(found, name, None)) is not None
            ),
            None,
        )


def bury(tasks: Iterable[SimTask]) -> None:
    """Ends tasks of a closed loop. What their `finally` blocks do has no loop to do it with, and
    what it raises is not reported.
    """
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        for task in tasks:
            task._log_destroy_pending = False
            coroutine: Any = task.get_coro()
            for _ in range(_CLOSINGS):
                try:
                    coroutine.close()
                except RuntimeError:  # it waits again
                    continue
                except BaseException:
                    # what a killed process would have raised on its way out, nobody hears
                    break
                break
            else:
                _immortal.append(coroutine)
    finally:
        sys.unraisablehook = hook

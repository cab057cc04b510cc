"""Helpers for ending work: shielded from cancellation, within a deadline, or several works
together.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["end_all", "to_the_end", "together", "within"]

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Abandoned work is cancelled, and has this long to end.
NOTICE_S = 1.0
#: Work that has not ended this long after its cancellation has lost the cancellation.
AGAIN_S = 3.0


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end, even if the caller is cancelled meanwhile.

    After the work has ended, a cancellation that came meanwhile is raised. `work` must have its own
    deadlines. Raises the errors of `work`.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    failed = None if task.cancelled() else task.exception()
    if failed is not None:
        log.warning("while letting go: %r", failed)
    raise cancelled


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None if the work took too long or cancelled itself.

    Unlike `asyncio.wait_for`, it never confuses a cancellation of the caller with a cancellation of
    the work. Raises the errors of `work`.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        await asyncio.wait([task], timeout=NOTICE_S)
    if not task.done() or task.cancelled():
        task.add_done_callback(_retrieved)
        return None
    return task.result()


async def end_all(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks and wait until all of them have ended, even if the caller is cancelled
    meanwhile: then it raises that cancellation afterwards. Raises nothing else.

    A task that has not ended after `AGAIN_S` is cancelled again: code that awaits a task which it
    has cancelled itself cannot tell a cancellation of its own from that task's, and drops both.
    """
    cancelled: asyncio.CancelledError | None = None
    left = list(tasks)
    while running := [task for task in left if not task.done()]:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running, timeout=AGAIN_S)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in left:
        _retrieved(task)
    if cancelled is not None:
        raise cancelled


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Run `works` concurrently until all have ended or one has failed.

    After a failure the other works are cancelled and awaited. Raises an exception group of the
    errors. If the caller was cancelled, before or after a failure, it raises CancelledError
    instead; a TaskGroup that is already ending would raise its group (Python 3.11).
    """
    tasks = [asyncio.create_task(work) for work in works]
    cancelled: asyncio.CancelledError | None = None
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError as error:
        cancelled = error
    try:
        await end_all(tasks)
    except asyncio.CancelledError as error:
        cancelled = error
    ends = [None if task.cancelled() else task.exception() for task in tasks]
    failures = [end for end in ends if end is not None]
    if cancelled is not None:
        for failure in failures:
            log.info("cancelled, and: %r", failure)
        raise cancelled
    if failures:
        raise BaseExceptionGroup("of several at once", failures)


def _retrieved(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()

"""Await something that belongs to the event loop of another thread."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["run_in"]


async def run_in(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, None]], seconds: float
) -> None:
    """Run `work` in `loop` and wait until it has ended; raises the errors of `work`.

    Raises TimeoutError after this many seconds, because a loop that has ended runs nothing. Work
    that has begun then ends by itself; work that has not begun never begins.

    `asyncio.run_coroutine_threadsafe` is not used: if a loop ends before it runs the call, it
    leaves a coroutine that is never awaited. Here the coroutine is created only when its turn
    comes.
    """
    done: concurrent.futures.Future[None] = concurrent.futures.Future()

    def begin() -> None:
        if not done.cancelled():
            task = loop.create_task(work())
            task.add_done_callback(lambda ended: _hand_on(ended, done))

    loop.call_soon_threadsafe(begin)
    async with asyncio.timeout(seconds):
        await asyncio.wrap_future(done)


def _hand_on(ended: asyncio.Task[None], done: concurrent.futures.Future[None]) -> None:
    """Tell the other thread, if it still waits, how a task has ended."""
    if ended.cancelled():
        done.cancel()
        return
    error = ended.exception()
    if not done.set_running_or_notify_cancel():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)

"""Await something that belongs to the event loop of another thread."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["run_in"]


async def run_in(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, None]], seconds: float
) -> None:
    """Run `work` in `loop` and wait until it has ended; raises what it raises.

    Raises TimeoutError after so many seconds: a loop that has ended runs nothing. What is no longer
    waited for ends by itself where it has begun, and does not begin any more.

    Not `asyncio.run_coroutine_threadsafe`: a loop that ends before the turn of what was handed
    to it leaves a coroutine there that nobody ever awaits. Here none is made before its turn.
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

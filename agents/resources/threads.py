"""Work in threads: answers about users, and work that is waited for to its end.

Answers about users have their own threads, because their work is short and should not wait for long
work: the shared threads may all be busy with flushes, merges and audiences for seconds.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from streams.ending import to_the_end

__all__ = ["execute", "whole"]

T = TypeVar("T")

_THREADS = 2
_threads = ThreadPoolExecutor(_THREADS, "users")


async def execute(work: Callable[[], T]) -> T:
    """The result of some milliseconds of work outside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


async def whole(work: Callable[[], T]) -> T:
    """The result of `work`, in a thread; if the caller is cancelled meanwhile, it still waits for
    the end of the thread.

    A thread cannot be cancelled: its resources, such as a folder or reserved memory, are released
    only when it no longer uses them. If it fails after the cancellation, its error is logged.
    """
    return await to_the_end(asyncio.to_thread(work))

"""Separate threads for answers about users: short work that should not wait for long work.

The shared threads may all be busy with flushes, merges and audiences for seconds; a request for a
profile should not wait for those.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["execute"]

T = TypeVar("T")

_THREADS = 2
_threads = ThreadPoolExecutor(_THREADS, "users")


async def execute(work: Callable[[], T]) -> T:
    """The result of some milliseconds of work outside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work)

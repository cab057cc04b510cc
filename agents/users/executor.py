"""Threads for answers about users alone: short work that waits for nothing longer.

The threads that everything else shares may all be busy with flushes, merges and audiences of
seconds; whoever asks for a profile should not have to queue behind those.
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

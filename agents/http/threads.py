"""Waits for work in a thread, even after a cancellation."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["whole"]

T = TypeVar("T")


async def whole(work: Callable[[], T]) -> T:
    """The result of `work`, in a thread; if the caller is cancelled meanwhile, it still waits for
    the end of the thread.

    A thread cannot be cancelled: its resources, such as a folder or reserved memory, are released
    only when it no longer uses them.
    """
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        while not doing.done():
            try:
                await asyncio.wait([doing])
            except asyncio.CancelledError:
                continue
        doing.cancelled() or doing.exception()
        raise

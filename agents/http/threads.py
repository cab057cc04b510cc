"""Work in a thread that is not left alone."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["whole"]

T = TypeVar("T")


async def whole(work: Callable[[], T]) -> T:
    """The result of `work`, in a thread; who is cancelled meanwhile waits for its end.

    A thread cannot be cancelled: what it uses, a folder, memory that was counted, is given back
    only when it does not use it any more.
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

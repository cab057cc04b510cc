"""How long a query waits for shards that are moving or recovering: the same limit for all
queries.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agents.scatter.errors import Unavailable
from schemas.errors import Recoverable

__all__ = ["PAUSE_S", "RETRY_S", "retried"]

log = logging.getLogger(__name__)

RETRY_S = 5.0
"""An attempt that fails later than this is the last one."""
PAUSE_S = 0.1

T = TypeVar("T")


async def retried(attempt: Callable[[], Awaitable[T]], failing: str) -> T:
    """The first result of `attempt`, which is repeated while it raises Recoverable.

    Raises Unavailable, whose message begins with `failing`, after the time limit, and at once if an
    attempt raises Unavailable. Any other error also ends the attempts.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RETRY_S
    while True:
        try:
            return await attempt()
        except Unavailable:
            raise
        except Recoverable as error:
            if loop.time() > deadline:
                log.info("%s: %s", failing, error)
                raise Unavailable(f"{failing}: {error}") from error
        await asyncio.sleep(PAUSE_S)

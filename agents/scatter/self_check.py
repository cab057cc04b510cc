"""Whether this worker is reached at the address that it tells the other workers."""

import asyncio
import logging
from contextlib import AsyncExitStack
from http import HTTPStatus

import aiohttp

from agents.scatter.context import WorkerContext
from agents.scatter.trouble import trouble
from agents.scatter.wire import json_of
from schemas.errors import Recoverable

__all__ = ["SELF", "check_self"]

log = logging.getLogger(__name__)

SELF = "/internal/self"
ANSWER_S = 2.0
PAUSE_S = 5.0
TRIES = 6


async def check_self(context: WorkerContext) -> None:
    """Ask oneself by that address. Names and proxies may need half a minute before they know a new
    worker, so only the last failure is logged as a warning.

    The worker goes on in any case: some networks lead no machine back to itself.
    """
    fault = ""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE_S)
        fault = await _fault(context)
        if not fault:
            log.info("reached at %s, as others are told", context.address)
            return
    log.warning(
        "this worker tells others that it is at %s (advertised_url), and is not reached there from "
        "its own machine: %s",
        context.address,
        fault,
    )


async def _fault(context: WorkerContext) -> str:
    try:
        async with asyncio.timeout(ANSWER_S), AsyncExitStack() as held:
            asking = context.peers.ask("GET", f"{context.address}{SELF}")
            answer = await held.enter_async_context(asking)
            if answer.status != HTTPStatus.OK:
                return f"it answers {answer.status}"
            found = await json_of(answer)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return trouble(error)
    except Recoverable as error:
        return str(error)
    if not isinstance(found, dict) or found.get("worker") != context.name:
        return "another worker answers: give each an advertised_url of its own"
    return ""

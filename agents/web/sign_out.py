"""The end of a browser's session, told to all workers: otherwise they accept its cookie."""

import asyncio
import logging
import re
from http import HTTPStatus

import aiohttp
import orjson

from agents.http.problems import bad_request
from agents.http.session import SESSION_S, Session
from agents.scatter.context import WorkerContext
from agents.scatter.trouble import trouble
from schemas.errors import EmberlineError

__all__ = ["ENDED", "note_ended", "tell_others"]

log = logging.getLogger(__name__)

ENDED = "/internal/ended_sessions"
_TELL_S = 3.0
_NONCE = re.compile(r"[0-9a-f]{32}")


async def tell_others(context: WorkerContext, session: Session) -> bool:
    """Tell the other workers of the group that a session has ended; whether all of them know now.

    A worker that starts later does not know it.
    """
    directory = context.manager.directory
    addresses = {*directory.shards.values(), directory.control} - {context.address, ""}
    told = await asyncio.gather(*(_tell(context, address, session) for address in addresses))
    return all(told)


async def _tell(context: WorkerContext, address: str, session: Session) -> bool:
    body = orjson.dumps({"nonce": session.nonce, "until": session.until})
    try:
        async with (
            asyncio.timeout(_TELL_S),
            context.peers.ask("POST", f"{address}{ENDED}", body=body) as answer,
        ):
            if answer.status == HTTPStatus.OK:
                return True
            why = f"it answers {answer.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = trouble(error)
    except EmberlineError as error:
        why = error.message
    log.warning("the worker at %s does not know that a session has ended: %s", address, why)
    return False


def note_ended(context: WorkerContext, told: bytes) -> None:
    """What another worker tells. Raises Problem (400) for anything but a session of today."""
    try:
        found = orjson.loads(told)
        nonce, until, now = found["nonce"], found["until"], context.clock.now_ms()
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request("the body is no session") from error
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise bad_request("nonce is no id of a session")
    if type(until) is not int or until > now + 2 * SESSION_S * 1000:
        raise bad_request("until is no end of a session")
    context.ended_sessions.end(nonce, until)

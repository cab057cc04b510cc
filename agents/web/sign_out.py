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

__all__ = ["ENDED", "end_everywhere", "note_ended"]

log = logging.getLogger(__name__)

ENDED = "/internal/ended_sessions"
_TELL_S = 3.0
_NONCE, _HASH = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")


async def end_everywhere(context: WorkerContext, session: Session) -> bool:
    """End a session here and at the other workers; whether all of them know now."""
    await _end(context, session.key.hash, session.nonce, session.until)
    return await _tell_others(context, session)


async def _end(context: WorkerContext, key_hash: str, nonce: str, until: int) -> None:
    context.ended_sessions.end(key_hash, nonce, until, context.clock.now_ms())
    context.events.check()  # a stream that was begun with it ends now
    await context.ended_file.save()


async def _tell_others(context: WorkerContext, session: Session) -> bool:
    """Tell the other workers of the group that a session has ended; whether all of them know now.

    One that is not in the group now does not know it.
    """
    directory = context.manager.directory
    addresses = {*directory.shards.values(), directory.control} - {context.address, ""}
    told = await asyncio.gather(*(_tell(context, address, session) for address in addresses))
    return all(told)


async def _tell(context: WorkerContext, address: str, session: Session) -> bool:
    told = {"key": session.key.hash, "nonce": session.nonce, "until": session.until}
    body = orjson.dumps(told)
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


async def note_ended(context: WorkerContext, told: bytes) -> None:
    """What another worker tells. Raises Problem (400) for anything but a session of today."""
    try:
        found = orjson.loads(told)
        key_hash, nonce, until = found["key"], found["nonce"], found["until"]
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request("the body is no session") from error
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise bad_request("nonce is no id of a session")
    if not isinstance(key_hash, str) or not _HASH.fullmatch(key_hash):
        raise bad_request("key is no hash of a key")
    if type(until) is not int or until > context.clock.now_ms() + 2 * SESSION_S * 1000:
        raise bad_request("until is no end of a session")
    await _end(context, key_hash, nonce, until)

"""Streaming a body: bounded by the client's pace, and never whole-looking when it is not."""

import asyncio
import logging
from collections.abc import AsyncIterable, Mapping

from aiohttp import HttpVersion11, web

from agents.web.problems import bad_request

__all__ = ["stream"]

log = logging.getLogger(__name__)

STALL_S = 60.0


async def stream(
    request: web.Request, pieces: AsyncIterable[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer 200 with `pieces`; when they fail, break the connection off.

    The status is sent at once: whatever can be found out before, has to be before. Raises
    Problem (400) for a client of HTTP/1.0: there the end of a body is that of the connection,
    and one that broke off would look whole.
    """
    if request.version < HttpVersion11:
        raise bad_request(
            "A stream needs HTTP/1.1, which alone shows whether it came to its end: ask again "
            "without HTTP/1.0 (curl without -0; proxy_http_version 1.1 in nginx)"
        )
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        async for piece in pieces:
            # who stops reading must not keep segments alive for ever
            async with asyncio.timeout(STALL_S):
                await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        log.debug("%s: the client went away", request.path)
    # a panic of a native library derives from BaseException: nothing may end the body well
    except BaseException as error:
        if request.transport is not None:
            request.transport.abort()
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
            raise
        log.warning("%s broken off: %r", request.path, error)
    return response

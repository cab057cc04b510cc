"""Streams a body: as fast as the client reads, and recognisably incomplete if it fails."""

import asyncio
import logging
from collections.abc import AsyncIterable, Mapping

from aiohttp import HttpVersion11, web

from agents.http.pattern import pattern_of
from agents.http.problems import bad_request
from agents.web.access_log import broken

__all__ = ["check_version", "stream"]

log = logging.getLogger(__name__)

STALL_S = 60.0
SLOWEST = 32_000
"""Bytes a second that a client reads at least, once it has been waited for `STALL_S` in all."""


def check_version(request: web.Request) -> None:
    """Raise Problem (400) for a client of HTTP/1.0."""
    if request.version < HttpVersion11:
        raise bad_request(
            "A stream needs HTTP/1.1, which alone shows whether it came to its end: ask again "
            "without HTTP/1.0 (curl without -0; proxy_http_version 1.1 in nginx)"
        )


async def stream(
    request: web.Request, pieces: AsyncIterable[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer 200 with `pieces`; if they fail, close the connection without the end of the body.

    The status is sent at once, so all checks must be made before. Raises Problem (400) for a client
    of HTTP/1.0: there the end of a body is the end of the connection, so an incomplete body would
    look complete.
    """
    check_version(request)
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        loop, sent, waited = asyncio.get_running_loop(), 0, 0.0
        async for piece in pieces:
            # a client that stops reading, or reads slowly, must not hold segments for ever
            begin = loop.time()
            async with asyncio.timeout(STALL_S):
                await response.write(piece)
            sent += len(piece)
            waited += loop.time() - begin
            if waited > STALL_S + sent / SLOWEST:
                raise TimeoutError(f"the client reads less than {SLOWEST} bytes a second")
        await response.write_eof()
    except ConnectionError:
        broken(request)
        log.debug("%s: the client went away", request.path)
    # a panic of a native library derives from BaseException: nothing may end the body well
    except BaseException as error:
        broken(request)
        if request.transport is not None:
            request.transport.abort()
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
            raise
        log.warning("%s broken off: %r", pattern_of(request), error)
    return response

"""Errors as `application/problem+json` (RFC 9457), with a code of
`agents/http/problem_codes.py`.
"""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from agents.http.pattern import pattern_of
from agents.http.problem_codes import CODES
from agents.names.resolve import AmbiguousSource, UnknownName
from schemas.records.lifecycle import SourceState, State

__all__ = [
    "CODES",
    "Problem",
    "ambiguous_source",
    "bad_request",
    "legacy_deleted",
    "listed",
    "problems",
    "shards_unavailable",
    "source_hidden",
    "try_again",
    "unknown_source",
]

log = logging.getLogger(__name__)

RETRY_AFTER_S = 2
_SHOWN = 1_000
"""Characters of a text or a name that a problem repeats."""
SEND_S = 60.0
"""So long a client may take to read an answer in one piece."""


class Problem(Exception):
    """Ends a request with a problem document. `members` are added to the document unchanged."""

    def __init__(
        self, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> web.Response:
        """The HTTP response."""
        status, title, _ = CODES[self.code]
        # RFC 9457 has `detail`; clients of the platform's API read `message`
        body = {"status": status, "title": title, "detail": self.detail, "code": self.code}
        body["message"] = self.detail
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
        return web.Response(
            status=status,
            text=json.dumps(body | self.members),
            content_type="application/problem+json",
            headers=headers | self.headers,
        )


def try_again(wait_s: float, now_ms: int) -> dict[str, str]:
    """The headers of a refusal that holds for `wait_s` more seconds: how many seconds, rounded up,
    and, as the platform has it, the second since 1970 from which on a request is taken again.
    """
    reset = math.ceil(now_ms / 1000 + wait_s)
    return {"Retry-After": str(math.ceil(wait_s)), "X-RateLimit-Reset": str(reset)}


def bad_request(detail: str) -> Problem:
    """400: says which parameter is wrong and how."""
    return Problem("bad_request", detail)


def unknown_source(error: UnknownName) -> Problem:
    """404, with the sources that may be meant."""
    nearest = listed(error.nearest)
    meant = f". {error.remedy}" if nearest else ""
    detail = f"No event and no definition names {error.text[:_SHOWN]!r}{meant}"
    return Problem("unknown_source", detail, source=error.text[:_SHOWN], nearest=nearest)


def ambiguous_source(error: AmbiguousSource) -> Problem:
    """409, with the sources that may be meant."""
    return Problem(
        "ambiguous_source",
        f"{error.message}. {error.remedy}",
        source=error.text[:_SHOWN],
        candidates=listed(error.candidates),
        more=error.more,
    )


def listed(found: Iterable[SourceState]) -> list[dict[str, str]]:
    """Sources that may be meant: key, name and state of each."""
    return [
        {"source": one.source, "name": one.name[:_SHOWN], "state": one.state.value} for one in found
    ]


def source_hidden(source: str, state: str, name: str = "") -> Problem:
    """409, with the body of the restore call that brings the source back."""
    detail = (
        f"{source} is {state}: its data takes part in no answer until it is restored"
        if state != State.RESTORING
        else f"{source} is {state}: ask again when it is done"
    )
    return Problem(
        "source_hidden",
        detail,
        sources=[source],
        name=name,
        state=state,
        restore={"sources": [source]},
    )


def legacy_deleted(source: str, name: str = "") -> Problem:
    """410."""
    detail = f"{source} was deleted for good under the older policy and cannot be restored"
    return Problem("legacy_deleted", detail, source=source, name=name)


def shards_unavailable(detail: str) -> Problem:
    """503."""
    return Problem("shards_unavailable", detail)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: every error becomes a problem document, including errors of aiohttp itself.

    After an answer has begun this is impossible: the code that sends it closes its connection.
    """
    try:
        response = await _answered(request, handler)
        async with asyncio.timeout(SEND_S) as limit:
            # an answer in one piece; a stream looks after its reader itself, and is at its end
            await response.prepare(request)
            await response.write_eof()
        return response
    except TimeoutError:
        if not limit.expired():
            raise
        log.info("%s %s: the answer is not read; broken off", request.method, pattern_of(request))
        if request.transport is not None:
            request.transport.abort()
        return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPNotFound:
        return Problem("not_found", f"There is nothing at {request.path}").response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        response = Problem("method_not_allowed", f"{request.path} takes {allowed}").response()
        response.headers["Allow"] = allowed
        return response
    except (web.HTTPException, ConnectionError):
        raise
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    # a panic of a native library derives from BaseException: the client is to have an answer too
    except BaseException:
        log.exception("%s %s failed", request.method, pattern_of(request))
        return Problem("internal", "The worker's log has the details").response()

"""Errors as `application/problem+json` (RFC 9457), with a code from one list.

| code | status | when |
| --- | --- | --- |
| `bad_request` | 400 | a parameter is missing or not understood |
| `bad_node` | 400 | a part of a filter does not have the shape of a filter; `path` says which |
| `unknown_filter` | 400 | there is no filter of that name |
| `missing_argument` `unknown_argument` `bad_argument` | 400 | an argument of a filter |
| `bad_time` `no_bound` `both_bounds` `impossible_range` | 400 | a filter's `before` and `after` |
| `too_deep` `too_large` | 400 | a filter has too many levels or nodes, or its leaves read too \
many sources |
| `unknown_segment` `segment_cycle` `unreadable_segment` | 400 | an `in_segment`, or the filter \
of the segment that it names |
| `unknown_step` `unknown_variation` | 400 | the definition of the source has no such part |
| `unknown_tag` | 400 | no source has the tag |
| `unauthorized` | 401 | no key, or an unknown key: `Authorization: Bearer KEY` |
| `forbidden` | 403 | the key does not have the required scope |
| `foreign_host` | 403 | without keys, the request names another host than this machine |
| `proxied` | 403 | without keys, the request came through a proxy |
| `cross_site` | 403 | without keys, the request came from a page of another site |
| `not_found` | 404 | there is nothing at this address |
| `unknown_source` | 404 | no event and no definition names the source |
| `unknown_request` | 404 | no request has this id, or it was forgotten |
| `unknown_definition` | 404 | the catalog has nothing under this key |
| `unknown_user` | 404 | the user is unknown or deleted, or was merged into a user who is |
| `method_not_allowed` | 405 | the address takes other methods |
| `not_acceptable` | 406 | none of the formats offered is one that the client accepts |
| `body_timeout` | 408 | the body did not come in time |
| `source_hidden` | 409 | the source's data is archived, or on its way; `restore` says what to \
ask for to bring it back (`emberline restore`) |
| `command_refused` | 409 | the coordinator refuses all that was asked; `refusal` has its code |
| `key_reused` | 409 | the `Idempotency-Key` was used for another command |
| `ambiguous_user` | 409 | several users bear the identifier; `users` names them |
| `stale_cursor` | 409 | the cursor is of another question: begin with the first page |
| `legacy_deleted` | 410 | the source's data was deleted for good under the older policy |
| `request_too_large` | 413 | the body is longer than what is read |
| `unsupported_media_type` | 415 | the body has to be `application/json` |
| `too_many_requests` | 429 | the key asks too often, or for too much at once; ask again after \
`Retry-After` |
| `internal` | 500 | an error that nobody foresaw; the worker's log has it |
| `shards_unavailable` | 503 | not all shards are there; ask again after `Retry-After` |
| `control_unavailable` | 503 | Kafka does not acknowledge the command: send it again with the \
same `Idempotency-Key` |
| `busy` | 503 | the worker has as much work under way as its memory allows; ask again after \
`Retry-After` |
| `keys_lost` | 503 | the keys file has been away or unreadable for a minute: no key is known |
| `not_ready` | 503 | the worker has not recovered all it holds |
| `time_limit` | 503 | the answer takes too long to make |
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from schemas.records.lifecycle import State

__all__ = [
    "CODES",
    "Problem",
    "bad_request",
    "legacy_deleted",
    "problems",
    "shards_unavailable",
    "source_hidden",
    "unknown_source",
]

log = logging.getLogger(__name__)

CODES: Mapping[str, tuple[int, str]] = {
    "bad_request": (400, "The request is not understood"),
    "bad_node": (400, "The filter is not understood"),
    "unknown_filter": (400, "No such filter"),
    "missing_argument": (400, "An argument of a filter is missing"),
    "unknown_argument": (400, "A filter does not take this argument"),
    "bad_argument": (400, "An argument of a filter is not understood"),
    "bad_time": (400, "A time is not understood"),
    "no_bound": (400, "A filter needs before or after"),
    "both_bounds": (400, "A filter takes before or after, not both"),
    "impossible_range": (400, "No time lies in the range"),
    "too_deep": (400, "The filter has too many levels"),
    "too_large": (400, "The filter asks too much"),
    "unknown_segment": (400, "No such segment"),
    "segment_cycle": (400, "Segments name each other in a circle"),
    "unreadable_segment": (400, "The segment's filter cannot be used"),
    "unknown_step": (400, "No such step"),
    "unknown_variation": (400, "No such variation"),
    "unknown_tag": (400, "No source has the tag"),
    "unauthorized": (401, "A key is needed"),
    "forbidden": (403, "The key does not allow this"),
    "foreign_host": (403, "Without keys this machine alone is served"),
    "proxied": (403, "Without keys no proxy is served"),
    "cross_site": (403, "Without keys no other site's page is served"),
    "not_found": (404, "There is nothing here"),
    "unknown_source": (404, "No such source"),
    "unknown_user": (404, "No such user"),
    "unknown_request": (404, "No such request"),
    "unknown_definition": (404, "No such definition"),
    "method_not_allowed": (405, "This address takes other methods"),
    "not_acceptable": (406, "None of the formats is acceptable"),
    "body_timeout": (408, "The body takes too long"),
    "source_hidden": (409, "The source's data is not available now"),
    "command_refused": (409, "The command is refused"),
    "key_reused": (409, "The Idempotency-Key was used before"),
    "ambiguous_user": (409, "Several users are called so"),
    "stale_cursor": (409, "The cursor is of another question"),
    "legacy_deleted": (410, "The source's data was deleted for good"),
    "request_too_large": (413, "The body is too long"),
    "unsupported_media_type": (415, "The body has to be JSON"),
    "too_many_requests": (429, "Too many requests"),
    "internal": (500, "An unforeseen error"),
    "shards_unavailable": (503, "Not all shards are there"),
    "control_unavailable": (503, "The command is not acknowledged"),
    "busy": (503, "The worker has as much to do as it takes"),
    "keys_lost": (503, "The keys file cannot be read"),
    "not_ready": (503, "The worker is not ready"),
    "time_limit": (503, "The answer takes too long"),
}
"""Status and title by code: the whole list."""

RETRY_AFTER_S = 2
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
        status, title = CODES[self.code]
        body = {"status": status, "title": title, "detail": self.detail, "code": self.code}
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
        return web.Response(
            status=status,
            text=json.dumps(body | self.members),
            content_type="application/problem+json",
            headers=headers | self.headers,
        )


def bad_request(detail: str) -> Problem:
    """400: says which parameter is wrong and how."""
    return Problem("bad_request", detail)


def unknown_source(source: str) -> Problem:
    """404."""
    return Problem("unknown_source", f"No event and no definition names {source!r}", source=source)


def source_hidden(source: str, state: str) -> Problem:
    """409, with the body of the restore call that brings the source back."""
    detail = (
        f"{source} is {state}: its data takes part in no answer until it is restored"
        if state != State.RESTORING
        else f"{source} is {state}: ask again when it is done"
    )
    return Problem(
        "source_hidden", detail, sources=[source], state=state, restore={"sources": [source]}
    )


def legacy_deleted(source: str) -> Problem:
    """410."""
    detail = f"{source} was deleted for good under the older policy and cannot be restored"
    return Problem("legacy_deleted", detail, source=source)


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
        log.info("%s %s: the answer is not read; broken off", request.method, request.path)
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
        log.exception("%s %s failed", request.method, request.path)
        return Problem("internal", "The worker's log has the details").response()

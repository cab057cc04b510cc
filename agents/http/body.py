"""Bodies of requests: limited in size, and JSON."""

import asyncio
from typing import Any

import orjson
from aiohttp import hdrs, web

from agents.http.problems import Problem, bad_request
from schemas.records import strict_json

__all__ = [
    "BODY",
    "MOST",
    "MOST_BYTES",
    "MOST_WORKER_BYTES",
    "parsed",
    "read",
    "read_object",
    "read_optional",
]

BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)
"""What has been read of a request already: that of another worker, to check its signature."""
MOST: web.RequestKey[int] = web.RequestKey("most", int)
"""Bytes of a body as the settings have them, where that is less than `MOST_BYTES`: a body that
comes in chunks says nowhere how long it is."""
BODY_S = 30.0
MOST_BYTES = 1 << 20
_JSON = "application/json"
MOST_WORKER_BYTES = 64 << 20
"""Of what workers ask each other: 50 users whose ids are as long as `max_field_bytes` can be,
every character of them escaped, still fit."""


async def read(request: web.Request, most: int = MOST_BYTES) -> bytes:
    """The whole body. Raises Problem (413) if it is longer than `most` bytes, and (408) if it does
    not arrive within `BODY_S`.
    """
    if BODY in request:
        return request[BODY]
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request, most)
    except TimeoutError as error:
        raise Problem("body_timeout", f"The body did not arrive within {BODY_S:.0f} s") from error


async def _read(request: web.Request, most: int) -> bytes:
    found = bytearray()
    too_long = request.content_length is not None and request.content_length > most
    while not too_long:
        piece = await request.content.readany()
        if not piece:
            return bytes(found)
        found += piece
        too_long = len(found) > most
    raise Problem("request_too_large", f"The body may have at most {most:,} bytes")


async def read_optional(request: web.Request, names: frozenset[str]) -> dict[str, Any]:
    """As `read_object`; an empty object if the request has no body. Raises Problem.

    A page of another site could send a request without a body; but its origin is checked, and it
    has no key.
    """
    if not request.can_read_body:
        return {}
    return await read_object(request, names)


async def read_object(request: web.Request, names: frozenset[str]) -> dict[str, Any]:
    """A JSON object with at most these members. Raises Problem (400, 413, 415).

    A page of another site can send a form or plain text without a preflight request, but not JSON;
    so the content type must be JSON.
    """
    sent = request.content_type if hdrs.CONTENT_TYPE in request.headers else "nothing"
    if sent != _JSON and not sent.endswith("+json"):
        raise Problem(
            "unsupported_media_type",
            f"The body must be {_JSON}, not {sent[:80]}: send Content-Type: {_JSON}",
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "Send the body uncompressed")
    try:
        found = parsed(await read(request, request.get(MOST, MOST_BYTES)))
    except ValueError as error:
        raise bad_request(f"The body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise bad_request("The body is a JSON object")
    unknown = sorted(found.keys() - names)
    if unknown:
        named = ", ".join(name[:40] for name in unknown[:5])
        raise bad_request(f"There is no {named} here; there are {', '.join(sorted(names))}")
    return found


def parsed(data: bytes) -> Any:
    """The value of JSON in which no object has a name twice: this reader would take the last of
    them, and another program the first. Raises ValueError.
    """
    found = orjson.loads(data)
    strict_json.loads(data.decode())
    return found

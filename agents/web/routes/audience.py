"""POST /audience: the users who match a filter, as pages of JSON or as one NDJSON stream."""

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
import polars as pl
from aiohttp import web

from agents.audience.ascending import ascending
from agents.audience.audience import Audience
from agents.http import body, formats
from agents.http.admission import WorkKind
from agents.http.keys import Scope
from agents.http.problems import bad_request
from agents.http.route import Route, ref
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.errors import Unavailable
from agents.web import access_log
from agents.web.caller import require
from agents.web.refusals import excluded_members
from agents.web.routes.audience_request import (
    DEFAULT_LIMIT,
    MEMBERS,
    MOST_USERS,
    Asked,
    Cursor,
    asked,
    rfc3339,
)
from agents.web.stream import stream
from schemas.errors import Recoverable

__all__ = ["ROUTES", "audience"]

SILENCE_S = 60.0
"""A stream from which nothing comes for so long is given up."""
LINES = 50_000
_ATTEMPTS = 3
_MEDIA = ("application/json", formats.MEDIA_TYPES["ndjson"])


async def audience(request: web.Request) -> web.StreamResponse:
    """The users that match, in pages or as a stream; see the contract.

    Raises Problem, FilterError, RefusedAnswer, Recoverable.
    """
    context = request.app[CONTEXT]
    media = formats.prefer(request.headers.get("Accept", "*/*"), _MEDIA)
    wanted = asked(await body.read_object(request, MEMBERS), context.clock.now_ms())
    if media != _MEDIA[0] or wanted.limit != 0:
        access_log.note(request, {"filter": wanted.filter})
        require(request, Scope.EXPORT, 'a page with "limit": 0 has the count alone')
    if media == _MEDIA[1]:
        return await _stream(request, context, wanted)
    return await _page(request, context, wanted)


async def _page(request: web.Request, context: WorkerContext, wanted: Asked) -> web.Response:
    limit = DEFAULT_LIMIT if wanted.limit is None else wanted.limit
    if limit > MOST_USERS:
        raise bad_request(f"limit is at most {MOST_USERS}; ask for NDJSON to have them all")
    after = None if wanted.cursor is None else wanted.cursor.after
    for attempt in range(_ATTEMPTS):
        async with Audience(context, wanted.question) as found:
            wanted.check(_excluded(found))
            try:
                count, users, more = await _first(found, after, limit)
            except Unavailable:
                raise
            except Recoverable:
                # another worker's answer broke off
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            if users:
                access_log.count(request, len(users))
            return web.json_response(
                body=orjson.dumps(_facts(found, wanted, count, users, more)),
                headers={"Cache-Control": "no-store"},
            )
    raise AssertionError("the last attempt returns or raises")


async def _first(found: Audience, after: str | None, limit: int) -> tuple[int, list[str], bool]:
    """The number of matching users; the first `limit` of them after a user; whether there are
    more.
    """
    count = 0
    head = pl.Series("user", [], dtype=pl.String)
    async with aclosing(aiter(found)) as parts:
        async for part in parts:
            count += len(part)
            # a part is sorted: what lies behind its first `limit` is behind those of all
            begin = 0 if after is None else part.search_sorted(after, side="right")
            candidates = part.slice(begin, limit + 1)
            if len(candidates) and limit:
                head = pl.concat([head, candidates]).sort().head(limit + 1)
            elif len(candidates):
                head = candidates.head(1)
    return count, head.head(limit).to_list(), len(head) > limit


def _facts(
    found: Audience, wanted: Asked, count: int, users: list[str], more: bool
) -> dict[str, Any]:
    excluded = _excluded(found)
    following = None
    if more and users:
        now = wanted.question.now_ms
        following = str(Cursor(users[-1], now, wanted.digest(excluded)))
    return {
        "count": count,
        "users": users,
        "next": following,
        "now": rfc3339(found.plan.now_ms),
        "evaluated_at": rfc3339(found.evaluated_at_ms),
        "lag": found.lag,
        "held_back": found.held_back,
        "on_expired": wanted.question.on_expired.value,
        "excluded_expired": excluded,
        **excluded_members(found.plan.excluded_expired),
    }


async def _stream(
    request: web.Request, context: WorkerContext, wanted: Asked
) -> web.StreamResponse:
    if wanted.cursor is not None:
        raise bad_request("cursor belongs to pages; a stream has all users")
    async with Audience(context, wanted.question) as found:
        headers = {
            "Content-Type": _MEDIA[1],
            "Cache-Control": "no-store",
            "Emberline-Now": rfc3339(found.plan.now_ms),
            "Emberline-Evaluated-At": rfc3339(found.evaluated_at_ms),
            "Emberline-Lag": str(found.lag),
            "Emberline-Held-Back": str(found.held_back),
        }
        return await stream(request, _lines(request, found, wanted.limit), headers)


async def _lines(
    request: web.Request, found: Audience, limit: int | None
) -> AsyncGenerator[bytes, None]:
    """One line for each user: with a limit the first ones, as in a page, otherwise in any order.
    The last line says `complete` only if no limit has cut the answer. It also lists the excluded
    sources, if there are any; that list may be long.
    """
    excluded = _excluded(found)
    more: dict[str, Any] = {"excluded_expired": excluded} if excluded else {}
    count = 0
    ordered = aiter(found) if limit is None else ascending(found.streams())
    async with aclosing(ordered) as parts:
        while True:
            async with asyncio.timeout(SILENCE_S):
                part = await anext(parts, None)
            if part is None:
                yield formats.completion(count, **more)
                return
            for start in range(0, len(part), LINES):
                lines = part.slice(start, LINES)
                if limit is not None and count + len(lines) > limit:
                    access_log.count(request, limit - count)
                    yield await asyncio.to_thread(_ndjson, lines.head(limit - count))
                    yield formats.completion(limit, complete=False, **more)
                    return
                count += len(lines)
                access_log.count(request, len(lines))
                yield await asyncio.to_thread(_ndjson, lines)


def _ndjson(users: pl.Series) -> bytes:
    buffer = io.BytesIO()
    users.to_frame("user").write_ndjson(buffer)
    return buffer.getvalue()


def _excluded(found: Audience) -> list[str]:
    return sorted({each.source for each in found.plan.excluded_expired})


ROUTES = (
    Route(
        method="POST",
        path="/audience",
        handler=audience,
        summary="The users that match a filter, in pages of JSON or as one NDJSON stream",
        scope=Scope.READ,
        work=WorkKind.AUDIENCE,
        note=" That gives the count, in a page with `limit` 0; users take `users.export`.",
        body=ref("AudienceRequest"),
        answers={_MEDIA[0]: ref("Audience"), _MEDIA[1]: {"type": "string"}},
        problems=(
            "bad_request",
            "not_acceptable",
            "source_hidden",
            "stale_cursor",
            "legacy_deleted",
            "unknown_source",
            "request_too_large",
            "shards_unavailable",
            "time_limit",
        ),
    ),
)

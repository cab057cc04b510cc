"""POST and GET /audience: the users who match a filter: pages of JSON, or all as NDJSON, CSV or
Parquet.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson
import polars as pl
from aiohttp import hdrs, web

from agents.audience.audience import Audience
from agents.filters.refusals import OnExpired
from agents.http import body, formats
from agents.http.admission import WorkKind
from agents.http.keys import Scope
from agents.http.problems import bad_request
from agents.http.route import Route, Schema, query, ref
from agents.names.index import NameIndex
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.errors import Unavailable
from agents.scatter.people import identify
from agents.web import access_log
from agents.web.caller import require
from agents.web.pages import cursor_parameter
from agents.web.parquet import parquet
from agents.web.refusals import excluded_members
from agents.web.routes.audience_request import (
    DEFAULT_LIMIT,
    MEMBERS,
    MOST_USERS,
    Asked,
    Cursor,
    asked,
    in_query,
    rfc3339,
)
from agents.web.source_names import filter_keys, understood, understood_header
from agents.web.stream import stream
from agents.web.user_columns import DEFAULT, NOBODY, csv, csv_header, frame, ndjson
from schemas.errors import Recoverable

__all__ = ["ROUTES", "audience"]

SILENCE_S = 60.0
"""A stream from which nothing comes for so long is given up."""
LINES = 50_000
_ATTEMPTS = 3
_MEDIA = {"json": "application/json", **formats.MEDIA_TYPES}
_MOST_NAMED = 2_000
"""Characters of the header that names excluded sources."""


async def audience(request: web.Request) -> web.StreamResponse:
    """The users that match, in pages or all; see the contract.

    Raises Problem, FilterError, RefusedAnswer, Recoverable.
    """
    context = request.app[CONTEXT]
    accept = request.headers.get("Accept", "*/*")
    format_ = formats.choose_of(request.query.get("format"), accept, _MEDIA)
    reads = request.method == hdrs.METH_GET
    given = in_query(request.query) if reads else await body.read_object(request, MEMBERS)
    if "filter" in given:
        given["filter"] = filter_keys(request, given["filter"])
    wanted = asked(given, context.clock.now_ms())
    if format_ != "json" or wanted.limit != 0:
        access_log.note(request, {"filter": wanted.filter})
        require(request, Scope.EXPORT, 'a page with "limit": 0 has the count alone')
    if format_ == "json":
        return await _page(request, context, wanted)
    if wanted.cursor is not None:
        raise bad_request("cursor belongs to pages; a stream has all users")
    headers = {
        "Content-Type": _MEDIA[format_],
        "Cache-Control": "no-store",
        **understood_header(request),
    }
    if reads:
        # browsers save what a link leads to
        headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="audience.{format_}"'
    if format_ == "parquet":
        columns = wanted.columns or DEFAULT
        frames = _frames(request, context, wanted, headers)
        return await parquet(request, frames, frame(NOBODY, None, columns), headers)
    ordered = format_ == "csv" or wanted.limit is not None
    async with Audience(context, wanted.question, ordered=ordered) as found:
        headers |= _headers(found, format_)
        pieces = (_lines if format_ == "ndjson" else _csv)(request, found, wanted)
        return await stream(request, pieces, headers)


async def _page(request: web.Request, context: WorkerContext, wanted: Asked) -> web.Response:
    limit = DEFAULT_LIMIT if wanted.limit is None else wanted.limit
    if limit > MOST_USERS:
        raise bad_request(f"limit is at most {MOST_USERS}; ask for NDJSON to have them all")
    if wanted.columns is not None:
        raise bad_request("columns belong to NDJSON, CSV and Parquet; a page has user ids")
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
                body=orjson.dumps(
                    _facts(found, wanted, count, users, more, context.states.names)
                    | {"understood": understood(request)}
                ),
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
    found: Audience, wanted: Asked, count: int, users: list[str], more: bool, names: NameIndex
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
        **excluded_members(found.plan.excluded_expired, names),
    }


def _headers(found: Audience, format_: str) -> dict[str, str]:
    headers = {
        "Emberline-Now": rfc3339(found.plan.now_ms),
        "Emberline-Evaluated-At": rfc3339(found.evaluated_at_ms),
        "Emberline-Lag": str(found.lag),
        "Emberline-Held-Back": str(found.held_back),
    }
    excluded = _excluded(found)
    if format_ == "ndjson" or not excluded:
        return headers  # the last line has them
    named, room = [], _MOST_NAMED
    for source in (quote(each, safe=":") for each in excluded):
        room -= len(source) + 1
        if room < 0:
            break
        named.append(source)
    return headers | {
        "Emberline-Excluded-Expired": ",".join(named),
        "Emberline-Excluded-Total": str(len(excluded)),
    }


@dataclass(slots=True)
class _Sent:
    """The users of an answer so far; `cut`: whether the limit has left some out."""

    count: int = 0
    cut: bool = False


async def _users(
    request: web.Request, found: Audience, wanted: Asked, sent: _Sent
) -> AsyncGenerator[pl.Series, None]:
    """The users of the answer: in order if the audience is; with a limit it must be."""
    limit = wanted.limit
    users = found.ascending() if found.ordered else aiter(found)
    async with aclosing(users) as parts:
        while True:
            async with asyncio.timeout(SILENCE_S):
                part = await anext(parts, None)
            if part is None:
                return
            for start in range(0, len(part), LINES):
                some = part.slice(start, LINES)
                if limit is not None and sent.count + len(some) > limit:
                    some, sent.cut = some.head(limit - sent.count), True
                sent.count += len(some)
                access_log.count(request, len(some))
                if len(some):
                    yield some
                if sent.cut:
                    return


async def _picked(request: web.Request, users: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """The columns of these users; what the roster says is read from their shards."""
    identified = set(columns) != set(DEFAULT)
    roster = await identify(request.app[CONTEXT], users) if identified else None
    return await asyncio.to_thread(frame, users, roster, columns)


async def _lines(
    request: web.Request, found: Audience, wanted: Asked
) -> AsyncGenerator[bytes, None]:
    """One line for each user; without columns `{"user": ID}`. The last line says `complete` only if
    no limit has cut the answer. It also lists the excluded sources, if there are any; that list may
    be long.
    """
    sent, columns = _Sent(), wanted.columns
    async with aclosing(_users(request, found, wanted, sent)) as parts:
        async for users in parts:
            rows = (
                users.rename("user").to_frame()
                if columns is None
                else await _picked(request, users, columns)
            )
            yield await asyncio.to_thread(ndjson, rows)
    excluded = _excluded(found)
    more: dict[str, Any] = {"excluded_expired": excluded} if excluded else {}
    yield formats.completion(sent.count, complete=not sent.cut, **more)


async def _csv(request: web.Request, found: Audience, wanted: Asked) -> AsyncGenerator[bytes, None]:
    columns, safe = wanted.columns or DEFAULT, request.app[CONTEXT].settings.csv_safe
    yield csv_header(columns)
    async with aclosing(_users(request, found, wanted, _Sent())) as parts:
        async for users in parts:
            rows = await _picked(request, users, columns)
            yield await asyncio.to_thread(partial(csv, rows, safe=safe))


async def _frames(
    request: web.Request, context: WorkerContext, wanted: Asked, headers: dict[str, str]
) -> AsyncGenerator[pl.DataFrame, None]:
    async with Audience(context, wanted.question, ordered=True) as found:
        headers |= _headers(found, "parquet")
        async with aclosing(_users(request, found, wanted, _Sent())) as parts:
            async for users in parts:
                yield await _picked(request, users, wanted.columns or DEFAULT)


def _excluded(found: Audience) -> list[str]:
    return sorted({each.source for each in found.plan.excluded_expired})


_FORMAT = query("format", "Before `Accept`", enum=list(_MEDIA))
_NOTE = " That gives the count, in a page with `limit` 0; users take `users.export`."
_ANSWERS: Mapping[str, Schema] = {
    media: ref("Audience") if name == "json" else {"type": "string"}
    for name, media in _MEDIA.items()
}
_PROBLEMS = (
    "bad_request",
    "ambiguous_source",
    "not_acceptable",
    "source_hidden",
    "stale_cursor",
    "legacy_deleted",
    "unknown_source",
    "request_too_large",
    "shards_unavailable",
    "time_limit",
)

ROUTES = (
    Route(
        method="POST",
        path="/audience",
        handler=audience,
        summary="The users that match a filter, in pages of JSON, or all as NDJSON, CSV or Parquet",
        scope=Scope.READ,
        work=WorkKind.AUDIENCE,
        note=_NOTE,
        parameters=(_FORMAT,),
        body=ref("AudienceRequest"),
        answers=_ANSWERS,
        problems=_PROBLEMS,
    ),
    Route(
        method="GET",
        path="/audience",
        handler=audience,
        summary="The same as a link, for filters that fit into one",
        scope=Scope.READ,
        work=WorkKind.AUDIENCE,
        note=_NOTE,
        parameters=(
            query("filter", "The filter language, as JSON", required=True),
            query("now", "RFC 3339, or UTC milliseconds since 1970"),
            query("on_expired", "What to do about expired sources", enum=list(OnExpired)),
            query("limit", "Most users", type="integer", minimum=0, maximum=10**18 - 1),
            cursor_parameter(),
            query("columns", "Names of columns with commas between: NDJSON, CSV and Parquet"),
            _FORMAT,
        ),
        answers=_ANSWERS,
        problems=_PROBLEMS,
    ),
)

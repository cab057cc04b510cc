"""GET /sources/{source}/interactions: the rows of a visible source."""

import asyncio
from collections.abc import AsyncGenerator

import polars as pl
from aiohttp import web

from agents.http import formats
from agents.http.admission import WorkKind
from agents.http.keys import Scope
from agents.http.route import SOURCE, Route, query
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.rows import SourceRows
from agents.web import access_log
from agents.web.caller import slot
from agents.web.parquet import parquet
from agents.web.source_names import source_headers, source_of
from agents.web.stream import stream
from schemas.tables.interaction import empty

__all__ = ["ROUTES", "interactions"]


async def interactions(request: web.Request) -> web.StreamResponse:
    """Stream all rows as NDJSON, CSV or Parquet."""
    context = request.app[CONTEXT]
    source = source_of(request)
    access_log.note(request, {"source": source})
    format_ = formats.choose(request.query.get("format"), request.headers.get("Accept", "*/*"))
    headers = {
        "Content-Type": formats.MEDIA_TYPES[format_],
        "Cache-Control": "no-store",
        **source_headers(request, source),
    }
    if format_ == "parquet":
        nothing = empty().select(formats.COLUMNS)
        return await parquet(request, _frames(request, context, source), nothing, headers)
    async with slot(request, WorkKind.ROWS), SourceRows(context, source) as rows:
        pieces = _ndjson(request, rows) if format_ == "ndjson" else _csv(request, rows)
        return await stream(request, pieces, headers)


async def _ndjson(request: web.Request, rows: SourceRows) -> AsyncGenerator[bytes, None]:
    count = 0
    async for frame in rows:
        count += frame.height
        access_log.count(request, frame.height)
        yield await asyncio.to_thread(formats.ndjson, frame)
    yield formats.completion(count)


async def _csv(request: web.Request, rows: SourceRows) -> AsyncGenerator[bytes, None]:
    yield formats.csv_header()
    async for frame in rows:
        access_log.count(request, frame.height)
        yield await asyncio.to_thread(formats.csv, frame)


async def _frames(
    request: web.Request, context: WorkerContext, source: str
) -> AsyncGenerator[pl.DataFrame, None]:
    async with SourceRows(context, source) as rows:
        async for frame in rows:
            access_log.count(request, frame.height)
            yield frame.select(formats.COLUMNS)


_TEXT = {"type": "string"}

ROUTES = (
    Route(
        method="GET",
        path="/sources/{source}/interactions",
        handler=interactions,
        summary="The rows of a visible source, streamed",
        scope=Scope.EXPORT,
        work=None,
        parameters=(
            SOURCE,
            query("format", "Before `Accept`", enum=list(formats.MEDIA_TYPES)),
        ),
        answers=dict.fromkeys(formats.MEDIA_TYPES.values(), _TEXT),
        problems=(
            "bad_request",
            "unknown_source",
            "not_acceptable",
            "source_hidden",
            "legacy_deleted",
            "shards_unavailable",
        ),
    ),
)

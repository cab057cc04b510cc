"""GET /sources/{source}/interactions: the rows of a visible source."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import polars as pl
from aiohttp import web

from agents.keys import Scope
from agents.web import formats
from agents.web.context import CONTEXT, Context
from agents.web.gather import Gathered
from agents.web.problems import shards_unavailable
from agents.web.route import SOURCE, Route, query
from agents.web.spool import spool
from agents.web.stream import stream
from schemas.errors import Recoverable
from schemas.interaction import empty

__all__ = ["ROUTES", "interactions"]

CHUNK = 1 << 18


async def interactions(request: web.Request) -> web.StreamResponse:
    """Stream all rows as NDJSON, CSV or Parquet."""
    context = request.app[CONTEXT]
    source = request.match_info["source"]
    format_ = formats.choose(request.query.get("format"), request.headers.get("Accept", "*/*"))
    headers = {"Content-Type": formats.MEDIA_TYPES[format_], "Cache-Control": "no-store"}
    if format_ == "parquet":
        return await _parquet(request, context, source, headers)
    async with Gathered(context, source) as rows:
        pieces = _ndjson(rows) if format_ == "ndjson" else _csv(rows)
        return await stream(request, pieces, headers)


async def _ndjson(rows: Gathered) -> AsyncGenerator[bytes, None]:
    count = 0
    async for frame in rows:
        count += frame.height
        yield await asyncio.to_thread(formats.ndjson, frame)
    yield formats.completion(count)


async def _csv(rows: Gathered) -> AsyncGenerator[bytes, None]:
    yield formats.csv_header()
    async for frame in rows:
        yield await asyncio.to_thread(formats.csv, frame)


async def _parquet(
    request: web.Request, context: Context, source: str, headers: dict[str, str]
) -> web.StreamResponse:
    # a Parquet file has its index at its end, and row groups want more than one frame: so it
    # is made on disk, and only a whole one is sent
    with spool(context.settings.data_dir) as folder:
        async with Gathered(context, source) as rows:
            try:
                await _spool(rows, folder)
            except Recoverable as error:
                raise shards_unavailable(f"{source} cannot be read now: {error}") from error
        done = await asyncio.to_thread(_assemble, folder)
        return await stream(request, _chunks(done), headers)


async def _spool(rows: Gathered, folder: Path) -> None:
    number = 0
    async for frame in rows:
        part = folder / f"{number:08d}.arrow"
        number += 1
        await asyncio.to_thread(frame.select(formats.COLUMNS).write_ipc, part, compression="lz4")


def _assemble(folder: Path) -> Path:
    parts = sorted(folder.glob("*.arrow"))
    done = folder / "all.parquet"
    frames = pl.scan_ipc(parts) if parts else empty().select(formats.COLUMNS).lazy()
    frames.sink_parquet(done, compression="zstd")
    return done


async def _chunks(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK):
            yield piece


_TEXT = {"type": "string"}

ROUTES = (
    Route(
        method="GET",
        path="/sources/{source}/interactions",
        handler=interactions,
        summary="The rows of a visible source, streamed",
        scope=Scope.EXPORT,
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

"""GET /sources/{source}/interactions: the rows of a visible source."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import polars as pl
from aiohttp import web

from agents.http import formats
from agents.http.admission import WorkKind
from agents.http.keys import Scope
from agents.http.problems import Problem, shards_unavailable
from agents.http.quota import Spooled
from agents.http.route import SOURCE, Route, query
from agents.resources.threads import whole
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.errors import Unavailable
from agents.scatter.rows import SourceRows
from agents.web import access_log
from agents.web.caller import slot
from agents.web.source_names import source_headers, source_of
from agents.web.stream import check_version, stream
from schemas.errors import Recoverable
from schemas.tables.interaction import empty

__all__ = ["ROUTES", "interactions"]

log = logging.getLogger(__name__)

CHUNK = 1 << 18
_GROUP_ROWS = 1 << 17
_PART_BYTES = 10_000
"""What a file of a frame has beside its columns."""


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
        return await _parquet(request, context, source, headers)
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


async def _parquet(
    request: web.Request, context: WorkerContext, source: str, headers: dict[str, str]
) -> web.StreamResponse:
    # a Parquet file has its index at its end, and row groups want more than one frame: so it
    # is made on disk, and only a whole one is sent
    check_version(request)
    with context.spools.folder() as spooled:
        try:
            async with slot(request, WorkKind.FILE):
                done = await _made(request, context, source, spooled)
        except Unavailable:
            raise
        except Recoverable as error:
            raise shards_unavailable(f"{source} cannot be read now: {error}") from error
        except OSError as error:
            log.error("the file of %s cannot be made: %s", source, error)
            raise Problem("busy", f"The file cannot be made: {error.strerror}") from error
        return await stream(request, _chunks(done), headers)


async def _made(
    request: web.Request, context: WorkerContext, source: str, spooled: Spooled
) -> Path:
    """The complete file; the parts that it was made from are deleted."""
    async with SourceRows(context, source) as rows:
        await _spool(request, rows, spooled)
    parts = spooled.bytes
    spooled.take(parts)  # what is made of the parts is no larger than they are
    done = await whole(partial(_assemble, spooled.folder))
    spooled.give(parts + max(0, parts - done.stat().st_size))
    return done


async def _spool(request: web.Request, rows: SourceRows, spooled: Spooled) -> None:
    number = 0
    async for frame in rows:
        part = spooled.folder / f"{number:08d}.arrow"
        number += 1
        access_log.count(request, frame.height)
        most = int(frame.estimated_size()) + _PART_BYTES
        spooled.take(most)
        await whole(partial(_write, frame, part))
        spooled.give(max(0, most - part.stat().st_size))


def _write(frame: pl.DataFrame, part: Path) -> None:
    frame.select(formats.COLUMNS).write_ipc(part, compression="lz4")


def _assemble(folder: Path) -> Path:
    parts = sorted(folder.glob("*.arrow"))
    done = folder / "all.parquet"
    frames = pl.scan_ipc(parts) if parts else empty().select(formats.COLUMNS).lazy()
    frames.sink_parquet(done, compression="zstd", row_group_size=_GROUP_ROWS)
    for part in parts:
        part.unlink()
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

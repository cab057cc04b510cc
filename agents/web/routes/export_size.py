"""GET /sources/{source}/export_size: how many lines and bytes the CSV files of a source have."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import polars as pl
from aiohttp import web

from agents.http import formats
from agents.http.admission import WorkKind
from agents.http.keys import Scope
from agents.http.route import SOURCE, Route, ref
from agents.scatter.context import CONTEXT
from agents.scatter.merges import persons_now
from agents.scatter.person_rows import rows_of_persons
from agents.scatter.rows import SourceRows
from agents.scatter.sizes import sizes
from agents.scatter.visible import visible
from agents.users.names import Names
from agents.users.user_csv import header, lines
from agents.web.answer import tagged
from agents.web.source_names import source_of

__all__ = ["MOST_ROWS", "ROUTES", "export_size"]

MOST_ROWS = 20_000
"""Rows after which no more is read: then the rest is estimated from these."""


@dataclass(slots=True)
class _Size:
    """Lines and bytes of a file, without its first line."""

    lines: int = 0
    length: int = 0

    def add(self, count: int, text: bytes) -> None:
        """Some more lines."""
        self.lines += count
        self.length += len(text)

    def whole(self, share: float, first_line: bytes) -> dict[str, int]:
        """The size of the file of which this is a share."""
        return {
            "rows": round(self.lines / share),
            "bytes": round(self.length / share) + len(first_line),
        }


async def export_size(request: web.Request) -> web.Response:
    """The sizes, from all rows or from the first `MOST_ROWS` and a bit. No user is named, so `read`
    is enough. Raises Problem (404, 409, 410, 503).
    """
    context, source = request.app[CONTEXT], source_of(request)
    names = Names(context.states, context.catalog)
    users, interactions, exact = _Size(), _Size(), True
    visible(context, source)
    persons = (await persons_now(context)).persons

    async def measured(frames: AsyncGenerator[pl.DataFrame, None]) -> AsyncIterator[pl.DataFrame]:
        nonlocal exact
        async for frame in frames:
            if interactions.lines >= MOST_ROWS:
                exact = False
                return
            interactions.add(frame.height, await asyncio.to_thread(formats.csv, frame))
            yield frame

    async with SourceRows(context, source) as rows, aclosing(aiter(rows)) as frames:
        async for frame, roster in rows_of_persons(context, persons, measured(frames)):
            made = partial(lines, frame, roster, source, names, safe=context.settings.csv_safe)
            text, count = await asyncio.to_thread(made)
            users.add(count, text)
    share = 1.0
    if not exact:
        held = (await sizes(context, [source])).by_source[source]
        share = interactions.lines / max(held.rows, interactions.lines)
    return tagged(
        request,
        {
            "source": source,
            "name": names.source(source),
            "users": users.whole(share, header()),
            "interactions": interactions.whole(share, formats.csv_header()),
            "exact": exact,
            "read": interactions.lines,
        },
    )


ROUTES = (
    Route(
        method="GET",
        path="/sources/{source}/export_size",
        handler=export_size,
        summary="How many lines and bytes the CSV files of a visible source have",
        scope=Scope.READ,
        work=WorkKind.ROWS,
        parameters=(SOURCE,),
        etag=True,
        answers={"application/json": ref("ExportSize")},
        problems=(
            *("bad_request", "unknown_source", "source_hidden", "legacy_deleted"),
            "shards_unavailable",
        ),
    ),
)

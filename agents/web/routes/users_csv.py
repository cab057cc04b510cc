"""GET /sources/{source}/users.csv: User Data of all users whom a campaign or Canvas reached."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from aiohttp import web

from agents.scatter.context import CONTEXT
from agents.scatter.merges import persons_now
from agents.scatter.person_rows import rows_of_persons
from agents.scatter.rows import SourceRows
from agents.scatter.visible import visible
from agents.users.names import Names
from agents.users.user_csv import header, lines
from agents.web import access_log
from agents.web.source_names import source_headers, source_of
from agents.web.stream import stream
from schemas.tables.merges import Persons

__all__ = ["users_csv"]

_HEADERS = {"Content-Type": "text/csv; charset=utf-8", "Cache-Control": "no-store"}


async def users_csv(request: web.Request) -> web.StreamResponse:
    """One line for each user, in any order. Raises Problem (404, 409, 410, 503)."""
    context, source = request.app[CONTEXT], source_of(request)
    access_log.note(request, {"source": source})
    visible(context, source)
    # before the rows are pinned: see docs/merged-users.md
    persons = (await persons_now(context)).persons
    async with SourceRows(context, source) as rows:
        headers = {**_HEADERS, **source_headers(request, source)}
        return await stream(request, _csv(request, source, persons, rows), headers)


async def _csv(
    request: web.Request, source: str, persons: Persons, rows: SourceRows
) -> AsyncGenerator[bytes, None]:
    context = request.app[CONTEXT]
    names = Names(context.states, context.catalog)
    yield header()
    # a frame has all of a source's rows of each of its users: see streams/state/range_scan.py
    async with aclosing(rows_of_persons(context, persons, aiter(rows))) as parts:
        async for frame, roster in parts:
            make = partial(lines, frame, roster, source, names, safe=context.settings.csv_safe)
            text, count = await asyncio.to_thread(make)
            access_log.count(request, count)
            yield text

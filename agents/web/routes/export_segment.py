"""POST /users/export/segment: all users of a segment as a stream, or as the platform's file."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import hdrs, web

from agents.audience.audience import Audience, Question
from agents.filters.parsing import parse
from agents.http import body, formats
from agents.http.admission import WorkKind
from agents.scatter.context import CONTEXT
from agents.users.names import Names
from agents.web import access_log
from agents.web.caller import slot
from agents.web.routes.export_archive import export_archive
from agents.web.routes.export_lines import UserLines, groups_of_lines
from agents.web.routes.export_request import (
    SEGMENT_MEMBERS,
    Fields,
    archive_asked,
    fields_of,
    segment_of,
)
from agents.web.stream import stream

__all__ = ["export_segment"]

_HEADERS = {hdrs.CONTENT_TYPE: formats.MEDIA_TYPES["ndjson"], "Cache-Control": "no-store"}


async def export_segment(request: web.Request) -> web.StreamResponse:
    """NDJSON of export objects, one a line. The last line says that the answer is complete and how
    many users it has; `excluded_expired` there has the data of these users in expired sources. Or,
    where the request asks for it, the platform's answer.

    Raises Problem (400, 413), FilterError, RefusedAnswer, Recoverable.
    """
    context = request.app[CONTEXT]
    asked = await body.read_object(request, SEGMENT_MEMBERS)
    segment, fields = segment_of(asked), fields_of(asked)
    access_log.note(request, {"segment": segment})
    if archive_asked(asked, request.headers.get(hdrs.ACCEPT, "")):
        return await export_archive(request, segment, fields)
    node = parse({"filter": "in_segment", "segment": segment})
    question = Question(node, context.clock.now_ms())
    async with slot(request, WorkKind.AUDIENCE), Audience(context, question) as found:
        return await stream(request, _lines(request, found, fields), _HEADERS)


async def _lines(
    request: web.Request, found: Audience, fields: Fields
) -> AsyncGenerator[bytes, None]:
    context = request.app[CONTEXT]
    written = UserLines(Names(context.states, context.catalog), fields)
    async with aclosing(groups_of_lines(context, found, written)) as groups:
        async for lines, users in groups:
            access_log.count(request, users)
            yield lines
    yield written.completion()

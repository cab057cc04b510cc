"""The platform's answer to POST /users/export/segment: a ZIP file, made in the background."""

import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path

from aiohttp import web
from yarl import URL

from agents.audience.audience import Audience, Question
from agents.filters.parsing import parse
from agents.http.admission import WorkKind
from agents.http.kept_files import KeptFile
from agents.http.problems import Problem
from agents.http.quota import Spooled
from agents.resources.threads import whole
from agents.scatter.context import CONTEXT
from agents.users.names import Names
from agents.users.user_archive import UserArchive
from agents.web import access_log
from agents.web.answer import json_answer
from agents.web.caller import caller, slot
from agents.web.routes.export_lines import UserLines, groups_of_lines
from agents.web.routes.export_request import Fields

__all__ = ["FILES", "export_archive"]

log = logging.getLogger(__name__)

FILES = "/users/export/segment/files"
_PART_BYTES = 1_000
"""What a file of the archive has beside its lines, at most."""


async def export_archive(request: web.Request, segment: str, fields: Fields) -> web.Response:
    """Begin to make the file, and answer where it will be. Raises FilterError, RefusedAnswer,
    Recoverable, and Problem if there is no room.
    """
    node = parse({"filter": "in_segment", "segment": segment})
    context = request.app[CONTEXT]
    prefix = f"{uuid.uuid4()}-{context.clock.now_ms() // 1000}"
    access_log.note(request, {"segment": segment, "export": prefix})
    lines = UserLines(Names(context.states, context.catalog), fields)
    question = Question(node, context.clock.now_ms())
    turn = slot(request, WorkKind.AUDIENCE)

    async def make(file: KeptFile, spooled: Spooled) -> Path:
        async with turn, Audience(context, question) as found:
            file.begun.set_result(None)
            groups = groups_of_lines(context, found, lines)
            path = await _written(groups, spooled, prefix)
        file.users, file.facts = lines.count, lines.summary()
        return path

    key = caller(request)
    try:
        await context.exports.start(prefix, make, "" if key is None else key.name)
    except OSError as error:
        log.error("the file of %s cannot be made: %s", prefix, error)
        raise Problem("busy", f"The file cannot be made: {error.strerror}") from error
    return json_answer(
        {
            "message": "success",
            "object_prefix": prefix,
            "url": f"{_base(request.url, context.settings.public_url)}{FILES}/{prefix}.zip",
            "unknown_fields": list(fields.unknown),
        }
    )


def _base(asked: URL, public_url: str) -> str:
    """The address that the request named. Behind a proxy with TLS the worker is asked without it,
    so `public_url` counts if it names the same host: no key is to travel in the clear.
    """
    public = URL(public_url)
    if public.host != asked.host:
        return str(asked.origin())
    return str(public.with_user(None)).rstrip("/")


async def _written(
    groups: AsyncGenerator[tuple[bytes, int], None], spooled: Spooled, prefix: str
) -> Path:
    path = spooled.folder / f"{prefix}.zip"
    with UserArchive(path, prefix) as archive:
        async with aclosing(groups):
            async for lines, users in groups:
                most = len(lines) + _PART_BYTES
                spooled.take(most)
                grown = await whole(partial(_add, archive, lines, users))
                spooled.give(max(0, most - grown))
        await whole(archive.close)
    spooled.give(spooled.bytes - archive.size)
    return path


def _add(archive: UserArchive, lines: bytes, users: int) -> int:
    """Write lines; the bytes by which the file has grown."""
    before = archive.size
    archive.add(lines, users)
    return archive.size - before

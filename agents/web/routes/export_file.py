"""GET /users/export/segment/files/{file}: what POST /users/export/segment has made.

A file lies with the worker that has made it; every other worker asks for it there.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import hdrs, web

from agents.http.kept_files import KeptFile
from agents.http.keys import Scope
from agents.http.problems import Problem
from agents.http.route import Route, path
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.trouble import trouble
from agents.web import access_log
from agents.web.answer import json_answer
from agents.web.stream import stream
from schemas.errors import Recoverable
from schemas.records.times import iso

__all__ = ["FILE_NAME", "ROUTES", "export_file", "kept_file"]

WAIT_S = 20.0
"""So long a request waits for a file that is being made."""
CHUNK = 1 << 18
_ZIP = "application/zip"
_USERS = "Emberline-Users"
FILE_NAME = r"^[0-9a-f-]{36}-[0-9]{1,20}(\.zip)?$"
_NAME = re.compile(FILE_NAME)
_SUFFIX = ".zip"


async def export_file(request: web.Request) -> web.StreamResponse:
    """The ZIP file, or without `.zip` what is known of it, from the worker that has it.

    Raises Problem: 404 if no worker has it, or not yet; 410 if it could not be made.
    """
    context, asked = request.app[CONTEXT], request.match_info["file"]
    access_log.note(request, {"export": asked[:100]})
    if _NAME.fullmatch(asked) is None:
        raise _unknown(asked)
    try:
        return await kept_file(request)
    except Problem as problem:
        if problem.code != "unknown_export":
            raise
    for worker in _others(context):
        found = await _relayed(request, f"{worker}/internal/exports/{asked}")
        if found is not None:
            return found
    raise _unknown(asked)


async def kept_file(request: web.Request) -> web.StreamResponse:
    """The same, of this worker alone. Raises the same."""
    context, asked = request.app[CONTEXT], request.match_info["file"]
    file = context.exports.get(asked.removesuffix(_SUFFIX))
    if file is None:
        raise _unknown(asked)
    if not asked.endswith(_SUFFIX):
        return json_answer(_facts(file))
    path = await _there(file)
    access_log.count(request, file.users)
    headers = {hdrs.CONTENT_TYPE: _ZIP, "Cache-Control": "no-store", _USERS: str(file.users)}
    return await stream(request, _chunks(path), headers)


async def _there(file: KeptFile) -> Path:
    """Where the file is, once it is. Raises Problem (404, 410)."""
    try:
        async with asyncio.timeout(WAIT_S):
            await file.ended.wait()
    except TimeoutError as error:
        detail = "The export is being made: ask again"
        raise Problem("export_unfinished", detail, headers={"Retry-After": "5"}) from error
    if file.failed is not None:
        raise Problem("export_failed", f"The export failed: {file.failed}; begin another one")
    if file.path is None:
        raise _unknown(file.name)
    return file.path


def _facts(file: KeptFile) -> dict[str, Any]:
    state = "failed" if file.failed is not None else "ready" if file.ended.is_set() else "making"
    return {
        "object_prefix": file.name,
        "state": state,
        "detail": file.failed,
        "available_until": iso(file.until_ms),
        "count": file.users if state == "ready" else None,
        "excluded_expired": file.facts.get("excluded_expired"),
        "unknown_fields": file.facts.get("unknown_fields"),
    }


def _others(context: WorkerContext) -> list[str]:
    """The addresses of the other workers of the group."""
    return sorted(set(context.manager.directory.shards.values()) - {context.address})


async def _relayed(request: web.Request, url: str) -> web.StreamResponse | None:
    """Another worker's answer; None if it does not have the file. Raises Recoverable if it does not
    answer.
    """
    try:
        async with request.app[CONTEXT].peers.ask("GET", url) as answer:
            if answer.status == HTTPStatus.OK and answer.content_type == _ZIP:
                access_log.count(request, int(answer.headers[_USERS]))
                headers = {hdrs.CONTENT_TYPE: _ZIP, "Cache-Control": "no-store"}
                return await stream(request, answer.content.iter_chunked(CHUNK), headers)
            found = await answer.json(content_type=None)
            if answer.status == HTTPStatus.OK:
                return json_answer(found)
            code = found["code"]
            if code == "unknown_export":
                return None
            if code in ("export_unfinished", "export_failed"):
                raise Problem(code, found["detail"])
            raise Recoverable(f"{url} answers {answer.status} {code}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Recoverable(f"{url}: {trouble(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Recoverable(f"{url} sends something else: {error!r}") from error


def _unknown(asked: str) -> Problem:
    detail = f"There is no export {asked[:100]!r}: its time is over, or its worker has ended"
    return Problem("unknown_export", detail)


async def _chunks(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK):
            yield piece


ROUTES = (
    Route(
        method="GET",
        path="/internal/exports/{file}",
        handler=kept_file,
        summary="A file that another worker is asked for",
        scope=Scope.WORKER,
        parameters=(path("file", "As in the public route"),),
    ),
)

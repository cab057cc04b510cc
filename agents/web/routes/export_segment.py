"""POST /users/export/segment: all users of a segment, streamed, one user on each line."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
import polars as pl
from aiohttp import web

from agents.audience.audience import Audience, Question
from agents.filters.parsing import parse
from agents.http import body, formats
from agents.scatter.context import CONTEXT
from agents.scatter.people import read
from agents.shard.user_read import MOST_USERS
from agents.users.braze import user_object
from agents.users.entry import entries
from agents.users.facts import UsersRead
from agents.users.names import Names
from agents.users.profile import hidden_entries, unchecked
from agents.web import access_log
from agents.web.routes.export_request import SEGMENT_MEMBERS, Fields, fields_of, segment_of
from agents.web.stream import stream
from schemas.errors import Recoverable

__all__ = ["UserLines", "export_segment"]

GROUPS = 2
"""So many groups of users are read at once."""


async def export_segment(request: web.Request) -> web.StreamResponse:
    """NDJSON of export objects. Its last line says that the answer is complete and how many users
    it has; `excluded_expired` there has the data of these users in expired sources.

    Raises Problem (400, 413), FilterError, RefusedAnswer, Recoverable.
    """
    context = request.app[CONTEXT]
    asked = await body.read_object(request, SEGMENT_MEMBERS)
    segment, fields = segment_of(asked), fields_of(asked)
    access_log.note(request, {"segment": segment})
    node = parse({"filter": "in_segment", "segment": segment})
    async with Audience(context, Question(node, context.clock.now_ms())) as found:
        headers = {"Content-Type": formats.MEDIA_TYPES["ndjson"], "Cache-Control": "no-store"}
        return await stream(request, _lines(request, found, fields), headers)


async def _lines(
    request: web.Request, found: Audience, fields: Fields
) -> AsyncGenerator[bytes, None]:
    context = request.app[CONTEXT]
    names = Names(context.states, context.catalog)
    written = UserLines(names, fields)
    async with aclosing(aiter(found)) as parts:
        async for part in parts:
            for users in _groups(part):
                access_log.count(request, len(users))
                yield await asyncio.to_thread(written.lines, await read(context, users))
    yield written.completion()


def _masked(found: UsersRead) -> set[str]:
    return {source for facts in found.facts.values() for source in facts.hidden}


def _groups(part: pl.Series) -> list[list[str]]:
    width = GROUPS * MOST_USERS
    return [part.slice(at, width).to_list() for at in range(0, len(part), width)]


class UserLines:
    """Writes and counts users, and sums up their hidden data."""

    def __init__(self, names: Names, fields: Fields) -> None:
        self._names = names
        self._fields = fields
        self._count = self._entries = 0
        self._hidden: dict[str, int] = {}
        self._archived: set[str] = set()
        self._shown: set[str] = set()

    def lines(self, found: UsersRead) -> bytes:
        """The users' lines; users who were deleted or merged since the segment was read are left
        out.

        Raises Recoverable if a source was visible for earlier users and is hidden now, or the other
        way round: the answer would be inconsistent.
        """
        self._archived.update(found.archived)
        for facts in found.facts.values():
            self._shown.update(facts.rows["source"].to_list())
        torn = self._shown & (self._archived | self._hidden.keys() | _masked(found))
        if torn:
            raise Recoverable(
                f"{min(torn)} expired or came back while the segment was exported",
                remedy="Discard this export and repeat it",
            )
        lines: list[Any] = []
        for facts in found.facts.values():
            person = facts.person
            if person is not None and person.gone:
                continue
            self._count += 1
            self._entries += len(facts.hidden)
            for source, rows in facts.hidden.items():
                self._hidden[source] = self._hidden.get(source, 0) + rows
            listed = entries(facts.rows)
            lines.append(user_object(facts.user, person, listed, self._names, self._fields.known))
        return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)

    def completion(self) -> bytes:
        """The last line."""
        excluded = {
            "entries": self._entries,
            "sources": hidden_entries(self._hidden, self._names),
            "unchecked": unchecked(tuple(sorted(self._archived)), self._hidden),
        }
        last = {"complete": True, "count": self._count, "excluded_expired": excluded}
        last["unknown_fields"] = self._fields.unknown
        return orjson.dumps(last, option=orjson.OPT_APPEND_NEWLINE)

"""The lines of a segment's export: the user objects of an audience."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
import polars as pl

from agents.audience.audience import Audience
from agents.scatter.context import WorkerContext
from agents.scatter.people import read_persons
from agents.shard.user_read import MOST_USERS
from agents.users.braze import user_object
from agents.users.entry import entries
from agents.users.facts import UsersRead
from agents.users.names import Names
from agents.users.profile import hidden_entries, unchecked
from agents.web.routes.export_request import Fields
from schemas.errors import Recoverable

__all__ = ["UserLines", "groups_of_lines"]

GROUPS = 2
"""So many groups of users are read at once."""


async def groups_of_lines(
    context: WorkerContext, found: Audience, lines: "UserLines"
) -> AsyncGenerator[tuple[bytes, int], None]:
    """The lines of some users after the other, and how many users those are.

    Raises Recoverable.
    """
    async with aclosing(aiter(found)) as parts:
        async for part in parts:
            for users in _groups(part):
                people = await read_persons(context, found.persons.persons, users)
                before = lines.count
                written = await asyncio.to_thread(lines.lines, people)
                yield written, lines.count - before


def _groups(part: pl.Series) -> list[list[str]]:
    width = GROUPS * MOST_USERS
    return [part.slice(at, width).to_list() for at in range(0, len(part), width)]


def _masked(found: UsersRead) -> set[str]:
    return {source for facts in found.facts.values() for source in facts.hidden}


class UserLines:
    """Writes and counts users, and sums up their hidden data. `count` is the number of users."""

    def __init__(self, names: Names, fields: Fields) -> None:
        self._names = names
        self._fields = fields
        self.count = self._entries = 0
        self._hidden: dict[str, int] = {}
        self._archived: set[str] = set()
        self._shown: set[str] = set()

    def lines(self, found: UsersRead) -> bytes:
        """The users' lines; users who were deleted since the segment was read are left out. Merges
        are those of the audience.

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
            if person is not None and person.deleted:
                continue
            self.count += 1
            self._entries += len(facts.hidden)
            for source, rows in facts.hidden.items():
                self._hidden[source] = self._hidden.get(source, 0) + rows
            listed = entries(facts.rows)
            known = self._fields.known
            lines.append(user_object(facts.user, person, listed, self._names, known))
        return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)

    def summary(self) -> dict[str, Any]:
        """What the lines themselves do not say: `excluded_expired` and `unknown_fields`."""
        return {
            "excluded_expired": {
                "entries": self._entries,
                "sources": hidden_entries(self._hidden, self._names),
                "unchecked": unchecked(tuple(sorted(self._archived)), self._hidden),
            },
            "unknown_fields": self._fields.unknown,
        }

    def completion(self) -> bytes:
        """The last line of a stream."""
        last = {"complete": True, "count": self.count, **self.summary()}
        return orjson.dumps(last, option=orjson.OPT_APPEND_NEWLINE)

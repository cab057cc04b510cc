"""POST /users/export/ids: up to 50 users in the format of Braze's export of users by identifier."""

from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web

from agents.http import body
from agents.resources.threads import execute
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.people import find, resolve
from agents.users.braze import user_object
from agents.users.entry import entries
from agents.users.facts import UserFacts
from agents.users.names import Names
from agents.users.profile import hidden_entries, unchecked
from agents.web import access_log
from agents.web.answer import json_answer
from agents.web.routes.export_request import IDS_MEMBERS, Wanted, wanted

__all__ = ["excluded", "export_ids"]

_Asked = tuple[str, str, str]
"""What an identifier is, the identifier, and an alias's label."""


async def export_ids(request: web.Request) -> web.Response:
    """Users in the order of the request, each once, and the unknown identifiers.

    `excluded_expired` is our own field: the data of these users in expired sources. Raises Problem
    (400, 413, 503).
    """
    context = request.app[CONTEXT]
    asked = wanted(await body.read_object(request, IDS_MEMBERS))
    access_log.note(
        request,
        {
            "user": asked.users,
            "external": asked.externals,
            "alias": [[each.name, each.label] for each in asked.aliases],
        },
        users=True,
    )
    found, invalid, archived = await _people(context, asked)
    names = Names(context.states, context.catalog)

    def read() -> dict[str, Any]:
        return {
            "message": "success",
            "users": [
                user_object(each.user, each.person, entries(each.rows), names, asked.fields.known)
                for each in found
            ],
            "invalid_user_ids": invalid,
            "unknown_fields": list(asked.fields.unknown),
            "excluded_expired": excluded(found, archived, names),
        }

    access_log.count(request, len(found))
    return json_answer(await execute(read))


def excluded(found: Iterable[UserFacts], archived: tuple[str, ...], names: Names) -> dict[str, Any]:
    """The hidden data of these users: for each source, and for each user the sources."""
    sums: dict[str, int] = {}
    users: dict[str, list[str]] = {}
    for facts in found:
        for source, rows in facts.hidden.items():
            sums[source] = sums.get(source, 0) + rows
        if facts.hidden:
            users[facts.user] = sorted(facts.hidden)
    return {
        "entries": sum(map(len, users.values())),
        "sources": hidden_entries(sums, names),
        "users": users,
        "unchecked": unchecked(archived, sums),
    }


async def _people(
    context: WorkerContext, asked: Wanted
) -> tuple[list[UserFacts], list[str], tuple[str, ...]]:
    matches = []
    if asked.externals or asked.aliases:
        matches = await find(context, asked.externals, asked.aliases)
    bearers: dict[_Asked, list[str]] = {("user", user, ""): [user] for user in asked.users}
    bearers |= {("external", each, ""): [] for each in asked.externals}
    bearers |= {("alias", *each): [] for each in asked.aliases}
    for match in matches:
        bearers[match.by, match.identifier, match.label].append(match.user)
    resolved = await resolve(context, [user for users in bearers.values() for user in users])
    people: dict[str, UserFacts] = {}
    invalid = []
    for key in _order(asked):
        there = [facts for user in sorted(bearers[key]) if (facts := resolved.users[user])]
        people.update((facts.user, facts) for facts in there)
        if not there:
            invalid.append(key[1])
    return list(people.values()), invalid, resolved.archived


def _order(asked: Wanted) -> Iterator[_Asked]:
    yield from (("external", each, "") for each in asked.externals)
    yield from (("alias", *each) for each in asked.aliases)
    yield from (("user", each, "") for each in asked.users)

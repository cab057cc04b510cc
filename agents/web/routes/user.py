"""GET /users/{id}: one user's profile."""

from functools import partial
from typing import Any

from aiohttp import web

from agents.http.problems import Problem, bad_request
from agents.resources.threads import execute
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.people import MOST_NAMED, Gone, Resolved, find, hidden_of, resolve
from agents.users.facts import UserFacts
from agents.users.names import Names
from agents.users.profile import profile, through_archive
from agents.web import access_log
from agents.web.answer import json_answer
from schemas.tables.roster import Alias
from schemas.words.nearest import hint

__all__ = ["BY", "FLAGS", "one_user"]

FLAGS = ("false", "true")
BY = ("user", "external", "alias")


async def one_user(request: web.Request) -> web.Response:
    """The user whom `id` names: a user id, else an external id, else an alias; `?by=` selects one
    of them. The alias has the label of `?label=`, or none; `?label=` also implies an alias. For a
    merged user the answer is the other user, and `merged_from` names the one who was asked for.
    `merged_users` are all ids that were merged into the user: their data is in the answer.

    `?through_archive=true` also reads what hidden sources have of the user, without a restore:
    `through_archive` has it, and is null otherwise.

    Raises Problem: 400, 404 (nobody), 409 (several), 503.
    """
    context = request.app[CONTEXT]
    asked, by = request.match_info["id"], request.query.get("by")
    label = request.query.get("label", "")
    if by is not None and by not in BY:
        raise bad_request(f"by is not {by[:80]!r}. {hint(by, BY)}")
    if label:
        if by not in (None, "alias"):
            raise bad_request(f"label belongs to an alias, and by is {by}")
        by = "alias"
    through = request.query.get("through_archive", "false")
    if through not in FLAGS:
        raise bad_request(f"through_archive is not {through[:80]!r}. {hint(through, FLAGS)}")
    of = {by or "any": asked, **({"label": label} if label else {})}
    access_log.note(request, of, users=True)
    facts, archived, bearers = await _who(context, asked, by, label)
    names = Names(context.states, context.catalog)
    access_log.count(request, 1)
    found = await execute(partial(profile, facts, archived, names))
    hidden = None
    if through == "true":
        archived_user = await hidden_of(context, facts)
        hidden = await execute(partial(through_archive, archived_user, names))
    found |= {"through_archive": hidden}
    return json_answer(found | {"merged_from": None if facts.user in bearers else bearers[0]})


async def _who(
    context: WorkerContext, asked: str, by: str | None, label: str
) -> tuple[UserFacts, tuple[str, ...], list[str]]:
    """The user, the archived sources of their shard, and the users who bear the identifier."""
    if by in (None, "user"):
        found = await resolve(context, [asked])
        facts = found.users[asked]
        if facts is not None:
            return facts, found.archived, [asked]
        if by == "user" or asked in found.gone:
            raise _nobody(asked, by, label, found.gone.get(asked))
    matches = await find(
        context,
        [asked] if by != "alias" else [],
        [Alias(asked, label)] if by != "external" else [],
    )
    for kind in ("external", "alias"):
        users = sorted({match.user for match in matches if match.by == kind})
        if users and (one := _one(asked, kind, await resolve(context, users))) is not None:
            return *one, users
    raise _nobody(asked, by, label)


def _one(asked: str, kind: str, found: Resolved) -> tuple[UserFacts, tuple[str, ...]] | None:
    there = {facts.user: facts for facts in found.users.values() if facts is not None}
    if len(there) > 1:
        users = sorted(there)
        named = ", ".join(users[:MOST_NAMED]) + ", ..." * (len(users) > MOST_NAMED)
        detail = f"The {kind} {asked!r} is borne by {named}: ask for one of them"
        raise Problem("ambiguous_user", detail, users=users)
    return (next(iter(there.values())), found.archived) if there else None


def _nobody(asked: str, by: str | None, label: str, gone: Gone | None = None) -> Problem:
    how = {"user": "user id", "external": "external id", "alias": "alias"}
    named = how.get(by or "", "user id, external id or alias")
    because = f": {gone.why}" if gone is not None else ""
    under = f" and the label {label!r}" if label else " without a label" if by == "alias" else ""
    members: dict[str, Any] = {} if gone is None else {"gone": gone.code, "into": gone.into}
    return Problem(
        "unknown_user",
        f"There is no user with the {named} {asked!r}{under}{because}",
        user=asked,
        **members,
    )

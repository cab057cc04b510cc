"""Users over all shards: finds them by identifier, and reads them in their shards.

A person may have several ids, by merges (`schemas.tables.merges`): `read_persons` and `resolve` put
together what the shards of all ids have.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from agents.resources.threads import execute
from agents.scatter.context import WorkerContext
from agents.scatter.errors import AmbiguousUser
from agents.scatter.gatherer import gather
from agents.scatter.merges import persons_now
from agents.scatter.user_queries import ArchivedUserQuery, FindQuery, IdentifyQuery, UsersQuery
from agents.scatter.visible import states_read
from agents.shard.user_read import MOST_USERS
from agents.users.combined import archived_together, together
from agents.users.facts import ArchivedUser, UserFacts, UsersRead
from agents.users.partition import partition_of_user
from agents.users.person import Match
from schemas.tables.merges import Persons
from schemas.tables.placement import partition_of
from schemas.tables.roster import ROSTER_SCHEMA, Alias

__all__ = [
    "MOST_BEARERS",
    "MOST_IDS",
    "MOST_NAMED",
    "Gone",
    "Resolved",
    "by_shard",
    "find",
    "hidden_of",
    "identify",
    "read",
    "read_persons",
    "resolve",
]

MOST_BEARERS = 500
"""So many users who bear an identifier are looked at: each costs as much as a profile."""
MOST_IDS = 1_000
"""So many ids of one person are read together."""
MOST_ARCHIVED_IDS = 20
"""The same in the archive: each takes as long as all archived data of its shard."""
MOST_NAMED = 10
_FAILING = "The users cannot be read now"


@dataclass(frozen=True, slots=True)
class Gone:
    """Why a user of the roster has no valid user. `code`: deleted, merged_into_nobody,
    merged_into_deleted or merge_cycle; `into`: the user whom the merges lead to.
    """

    code: str
    why: str
    into: str | None = None


@dataclass
class Resolved:
    """For each requested user the person whom the user is now; None if there is none.

    `gone` says why a user of the roster has no valid user. `archived` are the sources with archived
    rows in one of these users' shards.
    """

    users: dict[str, UserFacts | None] = field(default_factory=dict)
    gone: Mapping[str, Gone] = field(default_factory=dict)
    archived: tuple[str, ...] = ()


def by_shard(context: WorkerContext, users: Iterable[str]) -> dict[int, list[str]]:
    """The users of each shard, each once."""
    placed: dict[int, list[str]] = {}
    for user in dict.fromkeys(users):
        placed.setdefault(partition_of_user(user, context.settings.partitions), []).append(user)
    return placed


async def read(context: WorkerContext, users: Iterable[str]) -> UsersRead:
    """All data about these users; the caller limits their number. Raises Unavailable."""
    states_read(context)
    groups = [
        (shard, found[at : at + MOST_USERS])
        for shard, found in by_shard(context, users).items()
        for at in range(0, len(found), MOST_USERS)
    ]
    queries = [(shard, UsersQuery(group)) for shard, group in groups]
    parts = await gather(context, queries, _FAILING)
    facts: dict[str, UserFacts] = {}
    archived: set[str] = set()
    for part in parts:
        facts.update((user, _masked(context, found)) for user, found in part.facts.items())
        archived.update(part.archived)
    return UsersRead(facts, tuple(sorted(archived)))


async def read_persons(context: WorkerContext, persons: Persons, users: Iterable[str]) -> UsersRead:
    """All data about these persons, of all their ids. Raises AmbiguousUser for a person with too
    many, and Unavailable.
    """
    ids = {user: persons.members(user) for user in users}
    for user, members in ids.items():
        _check(user, members, MOST_IDS)
    if all(len(members) == 1 for members in ids.values()):
        return await read(context, ids)
    facts: dict[str, UserFacts] = {}
    archived: set[str] = set()
    named = list(dict.fromkeys(one for members in ids.values() for one in members))
    for at in range(0, len(named), MOST_IDS):
        part = await read(context, named[at : at + MOST_IDS])
        facts.update(part.facts)
        archived.update(part.archived)

    def joined() -> dict[str, UserFacts]:
        return {user: together(user, [facts[one] for one in ids[user]]) for user in ids}

    return UsersRead(await execute(joined), tuple(sorted(archived)))


async def hidden_of(context: WorkerContext, facts: UserFacts) -> ArchivedUser:
    """What hidden sources have of a person, read in the archive. Raises AmbiguousUser for too many
    ids, and Unavailable.
    """
    states_read(context)
    ids = [facts.user, *facts.others]
    _check(facts.user, ids, MOST_ARCHIVED_IDS)
    failing = "The archive cannot be read now"
    parts = []
    for user in ids:
        shard = partition_of_user(user, context.settings.partitions)
        parts += await gather(context, [(shard, ArchivedUserQuery(user))], failing)
    found = archived_together(facts.user, parts)
    gone = _deleted_for_good(context, found.rows)
    return replace(found, rows=found.rows.filter(~pl.col("source").is_in(gone)))


async def find(
    context: WorkerContext, externals: Sequence[str], aliases: Sequence[Alias]
) -> list[Match]:
    """The users with one of these identifiers, in all shards.

    Raises AmbiguousUser if there are far too many, and Unavailable.
    """
    query = FindQuery(externals, aliases)
    shards = range(context.settings.partitions)
    found = await gather(context, [(shard, query) for shard in shards], _FAILING)
    matches = [match for part in found for match in part]
    if len(matches) > MOST_BEARERS:
        many = matches[0]
        raise AmbiguousUser(
            f"{len(matches):,} users have the requested identifiers, such as the {many.by} "
            f"{many.identifier!r}: an identifier must belong to one user",
            sorted(match.user for match in matches)[:MOST_NAMED],
        )
    # whom the users topic names outweighs whom events name
    sure = {(match.by, match.identifier) for match in matches if match.in_roster}
    return [each for each in matches if each.in_roster or (each.by, each.identifier) not in sure]


async def identify(context: WorkerContext, users: pl.Series) -> pl.DataFrame:
    """The last roster row of each of these users that has one. Raises Unavailable."""
    placed = await asyncio.to_thread(partition_of, users, context.settings.partitions)
    queries = [
        (shard, IdentifyQuery(users.filter(placed == shard))) for shard in placed.unique().to_list()
    ]
    found = await gather(context, queries, _FAILING)
    return pl.concat([pl.DataFrame(schema=ROSTER_SCHEMA), *found])


async def resolve(context: WorkerContext, users: Iterable[str]) -> Resolved:
    """Who each of `users` is now, by all merges, with all data of the person.

    Nobody, if the user is unknown or deleted, or the merges lead to such a user or in a circle, or
    are more than `MOST_MERGES`. Raises AmbiguousUser and Unavailable.
    """
    persons = (await persons_now(context)).persons
    at = {user: persons.person_of(user) for user in users}
    found = await read_persons(context, persons, {one for one in at.values() if one is not None})
    there = {
        user: None if person is None else _there(found.facts[person]) for user, person in at.items()
    }
    gone = {
        user: why
        for user, facts in there.items()
        if facts is None and (why := _why(user, at[user], found.facts)) is not None
    }
    return Resolved(there, gone, found.archived)


def _masked(context: WorkerContext, facts: UserFacts) -> UserFacts:
    """Without the rows of sources that were deleted for good: no answer has them. Nor of sources
    that are hidden here: the shard may be with a worker that has not read so far.
    """
    records = map(context.states.get, set(facts.rows["source"].to_list()))
    gone = [each.source for each in records if each and (each.hidden or each.legacy_deleted)]
    if not gone:
        return facts
    covered = facts.rows["source"].is_in(gone)
    counts = dict(facts.rows.filter(covered).group_by("source").len().iter_rows())
    return replace(facts, rows=facts.rows.filter(~covered), hidden={**facts.hidden, **counts})


def _deleted_for_good(context: WorkerContext, rows: pl.DataFrame) -> list[str]:
    records = map(context.states.get, set(rows["source"].to_list()))
    return [each.source for each in records if each is not None and each.legacy_deleted]


def _why(asked: str, now: str | None, known: Mapping[str, UserFacts]) -> Gone | None:
    """Why a user of the roster is nobody now; None if the roster does not have the user."""
    if now is None:
        return Gone("merge_cycle", "its merges lead in a circle, or too far")
    facts = known[now]
    if asked == now:
        return Gone("deleted", "it was deleted") if facts.known else None
    if facts.person is None:
        return Gone("merged_into_nobody", f"it has become {now!r}, which nobody is", now)
    return Gone("merged_into_deleted", f"it has become {now!r}, which was deleted", now)


def _there(facts: UserFacts) -> UserFacts | None:
    deleted = facts.person is not None and facts.person.deleted
    return None if deleted or not facts.known else facts


def _check(user: str, ids: Sequence[str], most: int) -> None:
    if len(ids) > most:
        raise AmbiguousUser(
            f"{len(ids):,} ids are {user!r} by merges; at most {most:,} are read together",
            ids[:MOST_NAMED],
        )

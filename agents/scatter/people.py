"""Users over all shards: finds them by identifier, and reads them in their shards."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from agents.scatter.context import WorkerContext
from agents.scatter.errors import AmbiguousUser
from agents.scatter.gatherer import gather
from agents.scatter.user_queries import ArchivedUserQuery, FindQuery, IdentifyQuery, UsersQuery
from agents.scatter.visible import states_read
from agents.shard.user_read import MOST_USERS
from agents.users.facts import ArchivedUser, UserFacts, UsersRead
from agents.users.partition import partition_of_user
from agents.users.person import Match
from schemas.tables.placement import partition_of
from schemas.tables.roster import ROSTER_SCHEMA, Alias

__all__ = [
    "MOST_BEARERS",
    "MOST_MERGES",
    "MOST_NAMED",
    "Gone",
    "Resolved",
    "by_shard",
    "find",
    "hidden_of",
    "identify",
    "read",
    "resolve",
]

MOST_MERGES = 16
"""So many merges in a row are followed."""

MOST_BEARERS = 500
"""So many users who bear an identifier are looked at: each costs as much as a profile."""
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
    """For each requested user the user who is valid now; None if there is none.

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


async def hidden_of(context: WorkerContext, user: str) -> ArchivedUser:
    """What hidden sources have of a user, read in the archive. Raises Unavailable."""
    states_read(context)
    shard = partition_of_user(user, context.settings.partitions)
    failing = "The archive cannot be read now"
    (found,) = await gather(context, [(shard, ArchivedUserQuery(user))], failing)
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
    """Follows the merges of each of `users` to the user who is valid now.

    There is none if a user is unknown or deleted, and if merges form a cycle or are more than
    `MOST_MERGES`. Raises Unavailable.
    """
    at = {user: user for user in users}
    known: dict[str, UserFacts] = {}
    archived: set[str] = set()
    for _ in range(MOST_MERGES + 1):
        missing = set(at.values()) - known.keys()
        if not missing:
            break
        found = await read(context, sorted(missing))
        known.update(found.facts)
        archived.update(found.archived)
        at = {asked: _next(now, known) for asked, now in at.items()}
    there = {asked: _there(now, known) for asked, now in at.items()}
    gone = {
        user: _why(user, at[user], known)
        for user, facts in there.items()
        if facts is None and known[user].known
    }
    return Resolved(there, gone, tuple(sorted(archived)))


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


def _next(user: str, known: Mapping[str, UserFacts]) -> str:
    person = known[user].person if user in known else None
    into = person.became if person is not None and not person.deleted else None
    return user if into is None else into


def _why(asked: str, now: str, known: Mapping[str, UserFacts]) -> Gone:
    """Why a user of the roster has no valid user."""
    circle = Gone("merge_cycle", "its merges lead in a circle, or too far")
    if asked == now or now not in known:
        merged = asked != now or _next(asked, known) != asked
        return circle if merged else Gone("deleted", "it was deleted")
    person = known[now].person
    if person is None:
        return Gone("merged_into_nobody", f"it has become {now!r}, which nobody is", now)
    if person.deleted:
        return Gone("merged_into_deleted", f"it has become {now!r}, which was deleted", now)
    return circle


def _there(user: str, known: Mapping[str, UserFacts]) -> UserFacts | None:
    facts = known.get(user)
    if facts is None or not facts.known:
        return None
    return None if facts.person is not None and facts.person.gone else facts

"""Users over all shards: found by what they are called, read where they live."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents.http.problems import Problem
from agents.scatter.ask import find_in, patiently, read_in, states_read
from agents.scatter.context import Context
from agents.shard.user_read import MOST_USERS
from agents.users.facts import UserFacts, UsersRead
from agents.users.person import Match
from agents.users.place import place
from schemas.tables.roster import Alias

__all__ = [
    "MOST_BEARERS",
    "MOST_MERGES",
    "MOST_NAMED",
    "Resolved",
    "by_shard",
    "find",
    "read",
    "resolve",
]

MOST_MERGES = 16
"""So many merges in a row are followed."""

MOST_BEARERS = 500
"""So many users who bear an identifier are looked at: each costs as much as a profile."""
MOST_NAMED = 10


@dataclass
class Resolved:
    """Who the users that were asked for are now; None where there is nobody.

    `gone` says of those whom the roster knows, and who are nobody any more, why. `archived` are the
    sources whose archive in one of these users' shards has rows.
    """

    users: dict[str, UserFacts | None] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    archived: tuple[str, ...] = ()


def by_shard(context: Context, users: Iterable[str]) -> dict[int, list[str]]:
    """The users of each shard, each once."""
    placed: dict[int, list[str]] = {}
    for user in dict.fromkeys(users):
        placed.setdefault(place(user, context.settings.partitions), []).append(user)
    return placed


async def read(context: Context, users: Iterable[str]) -> UsersRead:
    """Everything about users, however many: whoever asks bounds that. Raises Problem (503)."""
    states_read(context)
    groups = [
        (shard, found[at : at + MOST_USERS])
        for shard, found in by_shard(context, users).items()
        for at in range(0, len(found), MOST_USERS)
    ]
    parts = await asyncio.gather(*(_read(context, *group) for group in groups))
    facts: dict[str, UserFacts] = {}
    archived: set[str] = set()
    for part in parts:
        facts.update((user, _masked(context, found)) for user, found in part.facts.items())
        archived.update(part.archived)
    return UsersRead(facts, tuple(sorted(archived)))


async def find(context: Context, externals: Sequence[str], aliases: Sequence[Alias]) -> list[Match]:
    """Who bears one of these identifiers, in any shard. Raises Problem (409: far too many; 503)."""
    shards = range(context.settings.partitions)

    async def ask(shard: int) -> list[Match]:
        return await patiently(lambda: find_in(context, shard, externals, aliases))

    found = await asyncio.gather(*(ask(shard) for shard in shards))
    matches = [match for part in found for match in part]
    if len(matches) > MOST_BEARERS:
        many = matches[0]
        raise Problem(
            "ambiguous_user",
            f"{len(matches):,} users bear what was asked for, such as the {many.by} "
            f"{many.identifier!r}: an identifier is one user's",
            users=sorted(match.user for match in matches)[:MOST_NAMED],
        )
    # whom the users topic names outweighs whom events name
    sure = {(match.by, match.identifier) for match in matches if match.in_roster}
    return [each for each in matches if each.in_roster or (each.by, each.identifier) not in sure]


async def resolve(context: Context, users: Iterable[str]) -> Resolved:
    """Follows merges from each of `users` to who is there now.

    Nobody is there where a user is unknown or deleted, and where merges lead in a circle or
    through more than `MOST_MERGES`. Raises Problem (503).
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


def _masked(context: Context, facts: UserFacts) -> UserFacts:
    """Without the rows of sources that were deleted for good: those take part in no answer."""
    records = map(context.states.get, set(facts.rows["source"].to_list()))
    gone = [each.source for each in records if each is not None and each.legacy_deleted]
    if not gone:
        return facts
    covered = facts.rows["source"].is_in(gone)
    counts = dict(facts.rows.filter(covered).group_by("source").len().iter_rows())
    return replace(facts, rows=facts.rows.filter(~covered), hidden={**facts.hidden, **counts})


def _next(user: str, known: Mapping[str, UserFacts]) -> str:
    person = known[user].person if user in known else None
    into = person.became if person is not None and not person.deleted else None
    return user if into is None else into


def _why(asked: str, now: str, known: Mapping[str, UserFacts]) -> str:
    """Why nobody is there for a user of the roster."""
    if asked == now or now not in known:
        merged = asked != now or _next(asked, known) != asked
        return "its merges lead in a circle, or too far" if merged else "it was deleted"
    person = known[now].person
    if person is None:
        return f"it has become {now!r}, which nobody is"
    if person.deleted:
        return f"it has become {now!r}, which was deleted"
    return "its merges lead in a circle, or too far"


def _there(user: str, known: Mapping[str, UserFacts]) -> UserFacts | None:
    facts = known.get(user)
    if facts is None or not facts.known:
        return None
    return None if facts.person is not None and facts.person.gone else facts


async def _read(context: Context, shard: int, users: list[str]) -> UsersRead:
    return await patiently(lambda: read_in(context, shard, users))

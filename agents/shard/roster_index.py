"""The roster of a shard, with lookups by user, external id and alias.

Each part is sorted by user. Beside it are the sorted hashes of its external ids and aliases, with
their row numbers. So a lookup costs a few binary searches in each part, however long the roster is.
Hashes only find candidates: the final comparison uses the names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from agents.shard.sorted_lookup import positions
from agents.users.person import Match, Person
from schemas.tables.roster import ROSTER_SCHEMA, Alias, aliases_of, borne, latest

__all__ = ["RosterPart", "deleted", "matches", "part", "people"]

_NOBODY = pl.Series("user", [], dtype=pl.String)


@dataclass(frozen=True, slots=True)
class RosterPart:
    """`rows` in `ROSTER_SCHEMA`; `names` has `hash` and `row` of every external id and alias;
    `deleted` are the users with a deletion in this part.
    """

    rows: pl.DataFrame
    names: pl.DataFrame
    deleted: pl.Series


def part(frame: pl.DataFrame) -> RosterPart:
    """A run or delta of the roster, in `ROSTER_SCHEMA`, prepared for lookups."""
    rows = frame.sort("user").with_row_index("row")
    names = borne(rows).select(hash=pl.col("name").hash(), row="row")
    deleted = rows.filter("deleted")["user"]
    return RosterPart(rows.select(ROSTER_SCHEMA.names()), names.sort("hash"), deleted)


def deleted(roster: Sequence[RosterPart]) -> pl.Series:
    """The users who are deleted now: those with a deletion and no later record, ascending."""
    once = pl.concat([_NOBODY, *(each.deleted for each in roster)]).unique().sort()
    if not len(once):
        return once
    words = []
    for each in roster:
        found = pl.Series(list(positions(each.rows["user"], once)), dtype=pl.UInt32)
        words.append(each.rows.select(pl.all().gather(found)))
    return latest(pl.concat(words)).filter("deleted")["user"]


def people(roster: Sequence[RosterPart], users: Iterable[str]) -> dict[str, Person]:
    """The last row of each of `users` that is in the roster."""
    found: dict[str, tuple[int, Person]] = {}
    wanted = pl.Series(list(dict.fromkeys(users)), dtype=pl.String)
    for each in roster if len(wanted) else ():
        for user, external, aliases, into, deleted, sequence in _rows(each.rows, wanted):
            if user not in found or found[user][0] <= sequence:
                defined = sequence >= 0
                person = Person(user, external, aliases_of(aliases), into, deleted, defined)
                found[user] = (sequence, person)
    return {user: person for user, (_, person) in found.items()}


def matches(
    roster: Sequence[RosterPart], externals: Iterable[str], aliases: Iterable[Alias]
) -> list[Match]:
    """All users who have one of these identifiers now. Deleted users have none.

    Name and label identify an alias together; an alias without a label is another alias. A user who
    had an identifier earlier is only a candidate: the user's last row decides.
    """
    external, alias = set(externals), set(aliases)
    wanted = external | {each.name for each in alias}
    hashes = pl.Series(sorted(wanted), dtype=pl.String).hash()
    candidates: set[str] = set()
    for each in roster if len(hashes) else ():
        for at in positions(each.names["hash"], hashes):
            candidates.add(each.rows["user"][each.names["row"][at]])
    found: list[Match] = []
    for person in people(roster, candidates).values():
        if person.external is not None and person.external in external:
            match = Match("external", person.external, person.user, in_roster=person.in_roster)
            found.append(match)
        theirs = [each for each in dict.fromkeys(person.aliases) if each in alias]
        found += [Match("alias", each.name, person.user, each.label) for each in theirs]
    return found


def _rows(frame: pl.DataFrame, users: pl.Series) -> Iterable[tuple[str, str, str, str, bool, int]]:
    return (frame.row(at) for at in positions(frame["user"], users))

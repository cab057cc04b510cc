"""Who a user is, as the roster says."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from schemas.roster import ROSTER_SCHEMA

__all__ = ["Match", "Person", "matches", "people"]


@dataclass(frozen=True, slots=True)
class Person:
    """The last word on one user. `merged_into` is the user that this one has become."""

    user: str
    external: str | None = None
    aliases: tuple[str, ...] = ()
    merged_into: str | None = None
    deleted: bool = False

    def to_json(self) -> dict[str, Any]:
        """As workers send it to each other."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Person":
        """What `to_json` wrote."""
        return cls(**{**fields, "aliases": tuple(fields["aliases"])})


@dataclass(frozen=True, slots=True)
class Match:
    """A user who bears an identifier. `by` is `external` or `alias`."""

    by: str
    identifier: str
    user: str


def people(roster: pl.DataFrame, users: Iterable[str]) -> dict[str, Person]:
    """Those of `users` whom the roster names; `roster` is in `ROSTER_SCHEMA`, not folded."""
    wanted = pl.Series(list(users), dtype=pl.String)
    user = pl.col("user")
    if not len(wanted):
        return {}
    among = user == wanted[0] if len(wanted) == 1 else user.is_in(wanted.implode())
    # row by row: they are few, and folding frames costs as much as hundreds of rows
    found: dict[str, tuple[int, Person]] = {}
    for user, external, aliases, into, deleted, sequence in (
        roster.filter(among).select(ROSTER_SCHEMA.names()).iter_rows()
    ):
        if user not in found or found[user][0] <= sequence:
            person = Person(user, external, _aliases(aliases), into, deleted)
            found[user] = (sequence, person)
    return {user: person for user, (_, person) in found.items()}


def matches(roster: pl.DataFrame, externals: Iterable[str], aliases: Iterable[str]) -> list[Match]:
    """Everyone who bears one of these identifiers now; `roster` is in `ROSTER_SCHEMA`.

    Deleted users bear none. The roster is not folded: who bore an identifier once is a
    candidate only, and their last row decides.
    """
    external, alias = list(dict.fromkeys(externals)), list(dict.fromkeys(aliases))
    if not external and not alias:
        return []
    bears = pl.lit(False)
    if external:
        bears = bears | pl.col("external").is_in(external)
    if alias:
        # aliases are JSON as json.dumps writes it: a quoted alias stands in it as it is
        quoted = [json.dumps(each) for each in alias]
        bears = bears | pl.col("aliases").str.contains_any(quoted)
    candidates = roster.filter(bears.fill_null(False))["user"].unique().to_list()
    found: list[Match] = []
    for person in people(roster, candidates).values() if candidates else ():
        if person.deleted:
            continue
        if person.external in external and person.external is not None:
            found.append(Match("external", person.external, person.user))
        found += [Match("alias", each, person.user) for each in person.aliases if each in alias]
    return found


def _aliases(text: str | None) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()

"""Merges of users, and the persons that they make. Pure.

    user, into        one row a merge in force: the last record of `user` names another user

A person is all users whose merges lead to the same user: that user is the person's id. Merges that
form a cycle, or of which more than `MOST_MERGES` follow each other, lead to nobody.
"""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b

import orjson
import polars as pl

__all__ = [
    "MERGES_SCHEMA",
    "MOST_MERGES",
    "NO_PERSONS",
    "Persons",
    "joined",
    "merges_of",
    "version_of",
]

MERGES_SCHEMA = pl.Schema({"user": pl.String, "into": pl.String})
MOST_MERGES = 16
"""So many merges in a row are followed."""


_INTO = pl.col("merged_into")


def merges_of(roster: pl.DataFrame) -> pl.DataFrame:
    """The merges in force, by user. `roster` has one row for each user, in `ROSTER_SCHEMA`.

    Older releases took `merged_into` that was empty or the user's own id: that is no other user.
    """
    another = _INTO.is_not_null() & (_INTO.str.len_bytes() > 0) & (pl.col("user") != _INTO)
    merged = roster.filter(another & ~pl.col("deleted"))
    return merged.select("user", into="merged_into").sort("user")


def version_of(merges: pl.DataFrame) -> str:
    """A text that is the same for the same merges only; empty for none."""
    if not merges.height:
        return ""
    told = orjson.dumps([merges[name].to_list() for name in MERGES_SCHEMA])
    return blake2b(told, digest_size=16).hexdigest()


class Persons:
    """Everybody who takes part in a merge. Never changed.

    `users` has `user` and `person`, by user: all users who were merged, and all users whom merges
    lead to or pass through. `person` is null where merges lead to nobody.
    """

    def __init__(self, merges: pl.DataFrame) -> None:
        """`merges` in MERGES_SCHEMA, with each user at most once."""
        self.users = _followed(merges)

    def __len__(self) -> int:
        return self.users.height

    def person_of(self, user: str) -> str | None:
        """The user who has become of this one, the same user without a merge; None if the merges
        lead to nobody.
        """
        row = self._row(user)
        return user if row is None else self.users["person"][row]

    def members(self, person: str) -> list[str]:
        """All ids of a person, the person's own among them, in order."""
        ids = self._by_person
        begin = ids["person"].search_sorted(person, side="left")
        end = ids["person"].search_sorted(person, side="right")
        found = ids["user"].slice(begin, end - begin).to_list() if ids.height else []
        return found or [person]

    def renamed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the person in `user`; without the rows of users who lead to nobody."""
        if not len(self):
            return rows
        named = rows.join(self.users, on="user", how="left", maintain_order="left")
        lost = named["person"].is_null() & named["user"].is_in(self._lost.implode())
        user = pl.coalesce("person", "user").alias("user")
        return named.filter(~lost).with_columns(user).select(rows.columns)

    def split(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows of users without merges, and those of the others."""
        if not len(self):
            return rows, rows.clear()
        among = rows["user"].is_in(self.users["user"].implode())
        return rows.filter(~among), rows.filter(among)

    @cached_property
    def _by_person(self) -> pl.DataFrame:
        return self.users.drop_nulls("person").sort("person", "user")

    @cached_property
    def _lost(self) -> pl.Series:
        return self.users.filter(pl.col("person").is_null())["user"]

    def _row(self, user: str) -> int | None:
        if not self.users.height:
            return None
        at = self.users["user"].search_sorted(user)
        return at if at < self.users.height and self.users["user"][at] == user else None


def joined(parts: Sequence[pl.DataFrame]) -> Persons:
    """The persons of the merges of all shards."""
    return Persons(pl.concat([pl.DataFrame(schema=MERGES_SCHEMA), *parts]))


def _followed(merges: pl.DataFrame) -> pl.DataFrame:
    at = merges.select("user", person="into")
    onward = merges.select(person="user", next="into")
    for _ in range(MOST_MERGES - 1):
        further = at.join(onward, on="person", how="left", maintain_order="left")
        if further["next"].null_count() == further.height:
            break
        at = further.select("user", person=pl.coalesce("next", "person"))
    lost = at["person"].is_in(merges["user"].implode())
    at = at.with_columns(person=pl.when(~lost).then("person"))
    ends = at["person"].drop_nulls().unique()
    return pl.concat([at, pl.DataFrame({"user": ends, "person": ends})]).sort("user")


NO_PERSONS = Persons(pl.DataFrame(schema=MERGES_SCHEMA))
"""Without merges."""

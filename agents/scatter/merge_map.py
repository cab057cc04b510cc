"""The merges of all shards, as this worker has read them last, and the persons they make."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from agents.scatter.wire import END, pack
from agents.shard.merge_list import Merges
from schemas.tables.merges import NO_PERSONS, Persons, joined
from schemas.tables.placement import partition_of

__all__ = ["NO_MEMBERS_HERE", "MembersOfShard", "MergeMap", "PlacedPersons"]

_NO_USERS = pl.DataFrame(schema={"user": pl.String, "person": pl.String})


@dataclass(frozen=True, slots=True, eq=False)
class MembersOfShard:
    """The users of one shard who take part in merges: `user` and `person` (null: the merges lead to
    nobody), by user. `encoded` are the users as sent to another worker; empty if there are none.
    """

    users: pl.DataFrame = field(default_factory=lambda: _NO_USERS)
    encoded: bytes = b""


NO_MEMBERS_HERE = MembersOfShard()


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPersons:
    """Persons, and the members of each shard."""

    persons: Persons = NO_PERSONS
    shards: Mapping[int, MembersOfShard] = field(default_factory=dict)

    def of(self, shard: int) -> MembersOfShard:
        """The members of a shard."""
        return self.shards.get(shard, NO_MEMBERS_HERE)


class MergeMap:
    """Keeps the last merges of each shard: about 300 bytes for each merge. Answers do not depend on
    what it keeps: each asks every shard whether it still has the same merges.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._parts: tuple[Merges, ...] = (Merges(),) * partitions
        self._made: tuple[tuple[str, ...], PlacedPersons] = (("",) * partitions, PlacedPersons())

    @property
    def parts(self) -> Sequence[Merges]:
        """The merges of each shard, as read last."""
        return self._parts

    async def taken(self, parts: Sequence[Merges]) -> PlacedPersons:
        """The persons of these merges, of all shards in order."""
        versions, made = tuple(each.version for each in parts), self._made
        if made[0] != versions:
            frames = [each.frame for each in parts]
            made = versions, await asyncio.to_thread(partial(_placed, frames, self._partitions))
            self._made = made
        self._parts = tuple(parts)
        return made[1]


def _placed(merges: Sequence[pl.DataFrame], partitions: int) -> PlacedPersons:
    persons = joined(merges)
    if not len(persons):
        return PlacedPersons()
    placed = persons.users.with_columns(shard=partition_of(persons.users["user"], partitions))
    shards: dict[int, MembersOfShard] = {}
    for (shard,), users in placed.partition_by("shard", as_dict=True).items():
        theirs = users.select("user", "person")
        shards[int(shard)] = MembersOfShard(theirs, pack(theirs.select("user")) + END)
    return PlacedPersons(persons, shards)

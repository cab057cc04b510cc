"""Looks for one user in everything that is stored, without a worker.

It proves that an erased user is gone, whatever the mask hides. Rows of a user are in one shard;
roster records that name the user as the one into whom others were merged may be in any.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from agents.verify.stored_traces import MERGED, PLACES, StoredTraces, read_stored
from schemas.errors import UsageError
from schemas.tables.placement import partition_of
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics

__all__ = ["PLACES", "UserTraces", "user_traces"]

_MOST = 100


@dataclass
class UserTraces:
    """Rows of one user: `rows` by place, and `where` they are, at most 100 of them. `shard` is that
    of the user.

    `uncompacted` counts rows in values of the changelog that a later record has replaced or
    deleted: Kafka removes them when it compacts the log. `unread` names what cannot be decoded.
    """

    user: str
    shard: int
    rows: Counter[str] = field(default_factory=Counter)
    uncompacted: int = 0
    where: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def gone(self) -> bool:
        """Whether everything was read and nothing that counts, or is still stored, has a row."""
        return not self.rows.total() and not self.unread

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "user": self.user,
            "shard": self.shard,
            "gone": self.gone,
            "rows": {place: self.rows[place] for place in PLACES},
            "uncompacted": self.uncompacted,
            "where": self.where,
            "unread": self.unread,
        }

    def add(self, stored: StoredTraces) -> None:
        """Take in what was found in one shard."""
        for trace in stored.found:
            self.rows[trace.place] += trace.rows
            where = str(trace) if stored.partition == self.shard else f"{trace.log}: {trace}"
            if len(self.where) < _MOST:
                self.where.append(where)
        self.uncompacted += stored.uncompacted
        self.unread += stored.unread


async def user_traces(environment: Environment, user: str) -> UserTraces:
    """Everything that is stored of a user. Raises `LogStuck` if a log cannot be read, `UsageError`
    if the setting partitions is another one than the workers'.
    """
    settings, topics = environment.settings, Topics(environment.settings.prefix)
    there = len(await environment.kafka.admin.partitions([topics.changelog]))
    if there != settings.partitions:
        # another number of shards gives another shard, in which nothing is of the user
        raise UsageError(
            f"{topics.changelog} has {there} partitions, the setting partitions is "
            f"{settings.partitions}",
            remedy=f"Give --partitions {there}",
        )
    shard = int(partition_of(pl.Series([user], dtype=pl.String), settings.partitions)[0])
    found = UserTraces(user, shard)

    def seek(place: str, rows: pl.DataFrame) -> Mapping[str, int]:
        column = "merged_into" if place == MERGED else "user"
        count = int((rows[column] == user).sum())
        return {user: count} if count else {}

    for number in range(settings.partitions):
        places = PLACES if number == shard else ("roster",)
        stored = StoredTraces(topics, number, settings.partitions, seek, places)
        await read_stored(environment, stored)
        found.add(stored)
    return found

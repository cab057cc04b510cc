"""A shard as the other rooms of its worker see it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from agents.filters.plan_nodes import FilterPlan
from agents.shard.analytics import Figures
from agents.shard.audience_part import NO_MEMBERS, AudiencePart, Members
from agents.shard.merge_list import Merges
from agents.shard.phase import ShardPhase
from agents.users.facts import ArchivedUser, UsersRead
from agents.users.person import Match
from schemas.errors import Recoverable
from schemas.tables.roster import Alias

__all__ = ["Actor", "NotHeld", "Shard", "ShardStatus", "SourceSize"]


class Actor(Protocol):
    """An object that runs until it is cancelled."""

    async def run(self) -> None:
        """Take over, then work until cancelled.

        Raises Fenced (there is a newer owner), Recoverable (start again), Fatal (give up). When
        cancelled, it releases everything before it ends, so that its successor may start at once. A
        second cancellation meanwhile changes nothing.
        """
        ...


class NotHeld(Recoverable):
    """A shard does not hold the requested version of a source, or has not recovered yet."""


@dataclass(frozen=True, slots=True)
class SourceSize:
    """One shard's data of one source, hot and in the archive."""

    rows: int = 0
    bytes: int = 0
    segments: int = 0
    archived_rows: int = 0
    archived_bytes: int = 0
    archived_segments: int = 0
    last_day: int | None = None
    """The day of the last event, days since 1970-01-01 in UTC; an expiry does not change it."""

    def __add__(self, other: "SourceSize") -> "SourceSize":
        """The sizes of two shards together."""
        return SourceSize(
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.segments + other.segments,
            self.archived_rows + other.archived_rows,
            self.archived_bytes + other.archived_bytes,
            self.archived_segments + other.archived_segments,
            max((day for day in (self.last_day, other.last_day) if day is not None), default=None),
        )


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """The status of a shard, for people and for tools that watch the lag.

    `cursor` has the next offset and `lag` the records still to fold, both by topic. `lag` is at
    least 1 if no broker answers for the topic, and 0 only if everything is folded. `held_back` has
    the part of the lag that cannot be read yet, because a producer has not ended its transaction;
    topics without such records are left out. `waits_for` says what ingest waits for; it is empty if
    there is nothing. `events` are those taken in since the shard started here; `folded_ms` is the
    time of the newest record in the last fetch that is folded, None before. `recovery_s` is the
    duration of the takeover in seconds, from the start until the shard was ready; None before.

    `held_back_s` says for how long the open transaction of a producer has held records back;
    `queued` counts fetches that are not committed as a whole, and ingest waits while there are
    `delta_rows_limit` rows in deltas. `bytes` and `segments` are those of
    the hot table, `archived_*` what the manifest of the archive names.
    """

    phase: ShardPhase = ShardPhase.STARTING
    recovery_s: float | None = None
    cursor: Mapping[str, int] = field(default_factory=dict)
    lag: Mapping[str, int] = field(default_factory=dict)
    held_back: Mapping[str, int] = field(default_factory=dict)
    held_back_s: float = 0.0
    queued: int = 0
    waits_for: str = ""
    events: int = 0
    folded_ms: int | None = None
    rows: int = 0
    deltas: int = 0
    delta_rows: int = 0
    delta_rows_limit: int = 0
    segments: int = 0
    bytes: int = 0
    archived_rows: int = 0
    archived_bytes: int = 0
    archived_segments: int = 0

    @property
    def events_behind(self) -> int:
        """Records still to fold, in all topics."""
        return sum(self.lag.values())

    @property
    def events_held_back(self) -> int:
        """Those records that wait for a producer to end its transaction."""
        return sum(self.held_back.values())


class Shard(Actor, Protocol):
    """The operations of a shard that its worker uses."""

    @property
    def partition(self) -> int:
        """The number of the shard."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it has recovered and is running."""
        ...

    @property
    def status(self) -> ShardStatus:
        """The status, for people."""
        ...

    def read(self, source: str, version: int | None) -> AsyncIterator[pl.DataFrame]:
        """The folded rows of a visible source.

        Raises NotHeld, before the first frame, if the shard does not hold exactly that version or
        is not ready.
        """
        ...

    async def audience(
        self, plan: FilterPlan, members: Members = NO_MEMBERS
    ) -> AsyncGenerator[AudiencePart, None]:
        """The matching users, as of now: ascending, each once, in non-empty parts. Of members it
        says what the plan asks, instead of whether they match.

        Raises NotHeld, before the first part, if the shard does not hold exactly the versions that
        the plan pins or is not ready.
        """
        ...

    async def merges(self, known: str) -> Merges | None:
        """The merges of this shard's users as of now; None if they still have the version `known`.
        Raises NotHeld.
        """
        ...

    async def users(self, users: Sequence[str]) -> UsersRead:
        """All data about at most 50 users, without rows of hidden sources.

        Raises NotHeld if the shard is not ready or this worker's view is behind it.
        """
        ...

    async def archived_user(self, user: str) -> ArchivedUser:
        """What hidden sources have of a user, read in the archive.

        Raises NotHeld as `users` does, and ArchiveMismatch.
        """
        ...

    async def find_users(self, externals: Sequence[str], aliases: Sequence[Alias]) -> list[Match]:
        """The users with one of these external ids or aliases. Raises NotHeld."""
        ...

    async def identify(self, users: pl.Series) -> pl.DataFrame:
        """The last roster row of each of `users` that has one. Raises NotHeld."""
        ...

    async def sizes(self, sources: Sequence[str]) -> Mapping[str, SourceSize]:
        """Sizes of those of `sources` with data in this shard. Raises NotHeld before it is ready,
        and if it has not applied what its view says of one of them.
        """
        ...

    async def outline(self) -> pl.DataFrame:
        """About the sizes of all sources with data in this shard, to put them in an order: the
        columns of OUTLINE. Raises NotHeld before it is ready.
        """
        ...

    async def analytics(self, source: str) -> Figures:
        """Figures of a source, hidden or not. Raises NotHeld before it is ready."""
        ...

    async def offer(self, fetched: object) -> None:
        """Take fetched batches back from the ingest agent.

        Must not wait until they are processed, because the batches of all shards go through the
        same agent. A shard limits the batches that it has fetched and not folded before it fetches
        more.
        """
        ...

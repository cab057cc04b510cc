"""A shard as the rest of its worker sees it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from agents.filters.plan_nodes import FilterPlan
from agents.shard.analytics import Figures
from agents.shard.phase import ShardPhase
from agents.users.facts import UsersRead
from agents.users.person import Match
from schemas.errors import Recoverable
from schemas.tables.roster import Alias

__all__ = ["Actor", "NotHeld", "Shard", "ShardStatus", "SourceSize"]


class Actor(Protocol):
    """Something that runs until it is cancelled."""

    async def run(self) -> None:
        """Take over, then work until cancelled.

        Raises Fenced (a newer owner has it), Recoverable (start again), Fatal (give up).
        Cancelled, it lets go of everything before it ends: its successor may start at once.
        That it is cancelled once more meanwhile changes nothing.
        """
        ...


class NotHeld(Recoverable):
    """A shard does not hold the asked version of a source, or has not recovered yet."""


@dataclass(frozen=True, slots=True)
class SourceSize:
    """What one shard holds of one source, hot and in the archive."""

    rows: int = 0
    bytes: int = 0
    segments: int = 0
    archived_rows: int = 0
    archived_bytes: int = 0
    archived_segments: int = 0

    def __add__(self, other: "SourceSize") -> "SourceSize":
        """The same of two shards together."""
        return SourceSize(
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.segments + other.segments,
            self.archived_rows + other.archived_rows,
            self.archived_bytes + other.archived_bytes,
            self.archived_segments + other.archived_segments,
        )


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """A shard as people and lag tools see it.

    `cursor` has the next offset and `lag` the records still to fold, both by topic; `lag` is at
    least 1 where no broker answers for the topic, and 0 only where all is folded. `held_back`
    has those of the lag that cannot be read yet, as a producer has not ended its transaction;
    topics without any are left out.
    `waits_for` says what keeps ingest from going on, empty where nothing does.
    `recovery_s` is how long its take-over lasted, from its start until it was ready: seconds,
    None before.
    """

    phase: ShardPhase = ShardPhase.STARTING
    recovery_s: float | None = None
    cursor: Mapping[str, int] = field(default_factory=dict)
    lag: Mapping[str, int] = field(default_factory=dict)
    held_back: Mapping[str, int] = field(default_factory=dict)
    waits_for: str = ""
    rows: int = 0
    deltas: int = 0
    delta_rows: int = 0
    segments: int = 0

    @property
    def events_behind(self) -> int:
        """Records still to fold, of all topics."""
        return sum(self.lag.values())

    @property
    def events_held_back(self) -> int:
        """Those of them that wait for a producer to end its transaction."""
        return sum(self.held_back.values())


class Shard(Actor, Protocol):
    """What the worker asks of a shard."""

    @property
    def partition(self) -> int:
        """Which shard."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it has recovered and runs."""
        ...

    @property
    def status(self) -> ShardStatus:
        """Figures for people."""
        ...

    def read(self, source: str, version: int | None) -> AsyncIterator[pl.DataFrame]:
        """The folded rows of a visible source.

        Raises NotHeld, before the first frame, where the shard does not hold exactly that
        version or is not ready.
        """
        ...

    async def audience(self, plan: FilterPlan) -> AsyncGenerator[pl.Series, None]:
        """The users that match, as of now: ascending, each once, in parts; none is empty.

        Raises NotHeld, before the first part, where the shard does not hold exactly the
        versions that the plan pins or is not ready.
        """
        ...

    async def users(self, users: Sequence[str]) -> UsersRead:
        """Everything about at most 50 users, hidden sources masked.

        Raises NotHeld where the shard is not ready or this worker's view is behind it.
        """
        ...

    async def find_users(self, externals: Sequence[str], aliases: Sequence[Alias]) -> list[Match]:
        """Who bears one of these external ids or aliases. Raises NotHeld."""
        ...

    async def identify(self, users: pl.Series) -> pl.DataFrame:
        """The last roster rows of those of `users` who have one. Raises NotHeld."""
        ...

    def sources(self) -> Mapping[str, SourceSize]:
        """Sizes of all sources that it has anything of. Raises NotHeld before it is ready."""
        ...

    async def analytics(self, source: str) -> Figures:
        """Figures of a source, hidden or not. Raises NotHeld before it is ready."""
        ...

    async def offer(self, fetched: object) -> None:
        """Take one fetched batch back from the ingest agent.

        Must not wait for the batch's processing: all shards' batches pass the same agent.
        A shard bounds what it has fetched and not folded before it fetches.
        """
        ...

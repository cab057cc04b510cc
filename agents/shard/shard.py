"""A shard: partition p of every topic, with takeover, ingest, work and answers."""

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Sequence,
)
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from rocksdict import Cache

from agents.filters.plan_nodes import FilterPlan
from agents.resources.budget import Budget
from agents.shard import read as shard_read
from agents.shard import user_read
from agents.shard.agreement import check_applied, check_owned
from agents.shard.analytics import Figures, measure
from agents.shard.archived_user import ArchivedUsers
from agents.shard.audience import Audiences
from agents.shard.audience_part import NO_MEMBERS, AudiencePart, Members
from agents.shard.ingest import FetchedBatches, IngestLoop
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.indexer import Indexer
from agents.shard.jobs.loop import WorkLoop
from agents.shard.merge_list import MergeList, Merges
from agents.shard.ownership import Ownership
from agents.shard.phase import ShardLife, ShardPhase
from agents.shard.protocol import NotHeld, ShardStatus, SourceSize
from agents.shard.source_sizes import SourceSizes
from agents.shard.user_read import UserRows
from agents.shard.users import ShardUsers
from agents.users.facts import ArchivedUser, UsersRead
from agents.users.person import Match
from agents.views.state_view import StateView
from schemas.errors import Fatal
from schemas.tables.roster import Alias
from streams.ending import to_the_end, together
from streams.kafka.environment import Environment
from streams.kafka.log import Fenced
from streams.kafka.purge import Purge
from streams.kafka.topics import Topics
from streams.log_facts import facts
from streams.state.store import Store
from streams.user_index.by_user import ByUser

__all__ = ["Shard"]

log = logging.getLogger(__name__)

T = TypeVar("T")

Deliver = Callable[["Shard", object], Awaitable[None]]


class Shard:
    """One shard of this worker. Call `run` once; after it has ended, create a new shard."""

    def __init__(
        self,
        environment: Environment,
        partition: int,
        view: StateView,
        cache: Cache,
        budget: Budget,
        deliver: Deliver,
        ownership: Ownership | None = None,
    ) -> None:
        folder = Path(environment.settings.data_dir)
        self._store = Store(environment, partition, folder / f"shard-{partition}", cache)
        self._ownership = ownership or Ownership()
        self._store.doubts = self._ownership.doubts
        self._store.may_fence = partial(self._ownership.acknowledged, f"shard {partition}")
        self._context = ShardContext(environment, partition, self._store, view, self._ownership)
        self._users = ByUser(folder / f"users-{partition}", cache)
        self._store.follow = self._users.follow
        self._audiences = Audiences(self._context, budget.scheduler)
        self._sizes = SourceSizes(self._store)
        self._people = ShardUsers(self._context, self._users)
        self._merges = MergeList()
        self._archived = ArchivedUsers(self._context, self._users)
        self._work = WorkLoop(self._context, budget, Indexer(self._context, self._users))
        self._ingest = IngestLoop(self._context, budget, self._work, self._hand_over)
        self._deliver = deliver
        self._budget = budget
        self._life = ShardLife()
        self._recovery_s: float | None = None

    async def _hand_over(self, fetched: FetchedBatches) -> None:
        await self._deliver(self, fetched)

    @property
    def partition(self) -> int:
        """The number of the shard."""
        return self._context.partition

    @property
    def ready(self) -> bool:
        """Whether it has recovered, is running, and has proven that it is still the owner."""
        return self._life.phase is ShardPhase.RUNNING and self._store.owned

    @property
    def status(self) -> ShardStatus:
        """The status, for people."""
        table = self._store.table
        return ShardStatus(
            phase=self._life.phase,
            recovery_s=self._recovery_s,
            cursor=dict(table.cursor),
            lag=self._ingest.lag(),
            held_back=self._ingest.held_back(),
            held_back_s=self._ingest.held_back_age.seconds,
            queued=self._ingest.queued,
            waits_for=self._ingest.waits_for,
            events=self._ingest.events,
            folded_ms=self._ingest.folded_ms,
            rows=table.hot.rows + table.delta_rows,
            deltas=len(table.deltas),
            delta_rows=table.delta_rows,
            delta_rows_limit=self._budget.delta_rows_full,
            segments=table.hot.segments,
            bytes=table.hot.bytes,
            archived_rows=table.archive.rows,
            archived_bytes=table.archive.bytes,
            archived_segments=table.archive.segments,
        )

    async def run(self) -> None:
        """Takes the shard over and works until cancelled.

        Raises `Fenced` if there is a newer owner, `Recoverable` if starting again may help, `Fatal`
        if a person has to act, `IllegalTransition` if it is called again.
        """
        self._life.enter(ShardPhase.RECOVERING)
        try:
            started = self._context.clock.monotonic_s()
            await self._store.takeover()
            await asyncio.to_thread(self._users.open, self._identity())
            await self._ingest.start()
            self._recovery_s = self._context.clock.monotonic_s() - started
            self._life.enter(ShardPhase.RUNNING)
            self._say_ready()
            await together(
                self._ingest.run(),
                self._work.run(),
                self._audiences.keep_fresh(),
                self._purge().run(),
                self._prove(),
            )
        except BaseExceptionGroup as group:
            raise _gravest(group) from group
        finally:
            self._life.enter(ShardPhase.STOPPED)
            await to_the_end(self._let_go())

    def _say_ready(self) -> None:
        size = self._store.table.hot
        log.info(
            "shard %d is ready after %.1f s: %d rows in %d segments",
            *(self.partition, self._recovery_s, size.rows, size.segments),
            extra=facts(shard=self.partition, step=self._store.last_step),
        )

    async def _prove(self) -> None:
        """After every doubt, prove that there is no newer owner. Raises as `Store.prove`."""
        while True:
            doubts = self._ownership.doubts()
            if self._store.owned:
                await self._ownership.doubted(doubts)
            else:
                await self._store.prove()

    async def _let_go(self) -> None:
        """Releases all resources, even if some fail, because the next owner may be this same
        process.
        """
        async with AsyncExitStack() as held:
            held.push_async_callback(self._store.close)
            held.push_async_callback(asyncio.to_thread, self._users.close)
            held.push_async_callback(self._ingest.close)

    def read(self, source: str, version: int | None) -> AsyncIterator[pl.DataFrame]:
        """Folded rows of a visible source, of users who are not deleted; see `shard_read.read`."""
        self._check_ready()
        return self._people.living(shard_read.read(self._context, source, version))

    async def read_users(self, users: Sequence[str]) -> dict[str, UserRows]:
        """Folded rows of some users; see `user_read.read_users`."""
        return await self._answered(user_read.read_users(self._context, self._users, users))

    async def audience(
        self, plan: FilterPlan, members: Members = NO_MEMBERS
    ) -> AsyncGenerator[AudiencePart, None]:
        """The users of this shard that match; see `Audiences.find`."""
        self._check_ready()
        return await self._audiences.find(plan, members)

    async def merges(self, known: str) -> Merges | None:
        """The merges of this shard's users; None if they have this version. Raises `NotHeld`."""
        found = await self._answered(self._merges.read(self._store))
        return None if found.version == known else found

    async def users(self, users: Sequence[str]) -> UsersRead:
        """All data about some users; see `ShardUsers.read`."""
        return await self._answered(self._people.read(users))

    async def archived_user(self, user: str) -> ArchivedUser:
        """What hidden sources have of a user; see `ArchivedUsers.read`."""
        return await self._answered(self._archived.read(user))

    async def find_users(self, externals: Sequence[str], aliases: Sequence[Alias]) -> list[Match]:
        """The users with one of these identifiers; see `ShardUsers.find`."""
        return await self._answered(self._people.find(externals, aliases))

    async def identify(self, users: pl.Series) -> pl.DataFrame:
        """The roster rows of many users; see `ShardUsers.identify`."""
        return await self._answered(self._people.identify(users))

    async def sizes(self, sources: Sequence[str]) -> dict[str, SourceSize]:
        """Sizes of some sources; see `SourceSizes.of`. Raises `NotHeld` before it is ready."""
        for source in sources:
            check_applied(self._context, source)
        return await self._answered(self._sizes.of(sources))

    async def outline(self) -> pl.DataFrame:
        """About the sizes of all sources; see `SourceSizes.outline`. Raises `NotHeld`."""
        return await self._answered(self._sizes.outline())

    async def analytics(self, source: str) -> Figures:
        """Figures of a source, hidden or not. Raises `NotHeld` before it is ready."""
        return await self._answered(self._measured(source))

    async def _measured(self, source: str) -> Figures:
        check_applied(self._context, source)
        pinned = await self._context.store.pin()
        check_applied(self._context, source)
        return await asyncio.to_thread(measure, pinned, source)

    async def _answered(self, answer: Coroutine[Any, Any, T]) -> T:
        """An answer during which the shard was the owner, at its beginning and at its end."""
        try:
            self._check_ready()
            found = await answer
        finally:
            answer.close()
        self._check_ready()
        return found

    async def offer(self, fetched: object) -> None:
        """Takes its own fetched batches back from the ingest agent. Raises TypeError for anything
        else, because its slot in the queue would never become free again.
        """
        if not isinstance(fetched, FetchedBatches):
            raise TypeError(f"shard {self.partition} is offered a {type(fetched).__name__}")
        self._ingest.offer(fetched)

    def _purge(self) -> Purge:
        """Deletes forwarded events only after they are folded."""
        context = self._context
        topic = Topics(context.settings.prefix).repartition
        table = context.store.table
        return Purge(context.kafka, (topic, context.partition), lambda: table.cursor.get(topic))

    def _identity(self) -> str:
        """The identity of the hot table for the index by user: an index of another changelog is
        useless.
        """
        origin = self._store.table.origin
        if origin is None:
            raise RuntimeError("a recovered table has an origin")
        return origin.incarnation

    def _check_ready(self) -> None:
        if self._life.phase is not ShardPhase.RUNNING:
            raise NotHeld(f"shard {self.partition} is {self._life.phase}")
        check_owned(self._context)


def _gravest(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The decisive one of several errors: unforeseen or fatal errors come before Fenced."""
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += [_gravest(error)] if isinstance(error, BaseExceptionGroup) else [error]

    def weight(error: BaseException) -> int:
        if isinstance(error, Fenced):
            return 1
        return 2 if isinstance(error, Fatal) or not hasattr(error, "remedy") else 0

    return max(leaves, key=weight)

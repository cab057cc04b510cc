"""One shard's answers about users: who has an identifier, who the users are, what happened to
them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from agents.resources.threads import execute
from agents.shard.auxiliary_parts import AuxiliaryParts
from agents.shard.jobs.context import ShardContext
from agents.shard.roster_index import RosterPart, deleted, matches, part, people
from agents.shard.sorted_lookup import positions
from agents.shard.user_read import read_users
from agents.users.facts import UserFacts, UsersRead
from agents.users.person import Match, Person
from schemas.tables.counts import feed_views_of
from schemas.tables.external import as_roster
from schemas.tables.roster import ROSTER_SCHEMA, Alias, latest
from streams.state.auxiliary_table import COUNTS, EXTERNALS, ROSTER
from streams.user_index.by_user import ByUser

__all__ = ["ShardUsers"]

_NOBODY = pl.Series("user", [], dtype=pl.String)
#: So few users are looked up in less time than it takes to hand them to a thread.
_FEW = 2


def _feed_views(counts: pl.DataFrame) -> pl.DataFrame:
    views = feed_views_of(counts)
    return views.sort("user") if views.height else views


def _some(parts: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, ...]:
    return tuple(part for part in parts if part.height)


def _told(
    roster: Sequence[RosterPart], views: Sequence[pl.DataFrame], users: Sequence[str]
) -> tuple[dict[str, Person], dict[str, int]]:
    """The users' identities, and the number of feed views of each."""
    counts: dict[str, int] = {}
    wanted = pl.Series(users, dtype=pl.String)
    for each in views:
        for at in positions(each["user"], wanted):
            user, count = each.row(at)
            counts[user] = counts.get(user, 0) + count
    return people(roster, users), counts


@dataclass
class ShardUsers:
    """Keeps the roster and the feed views of its shard in memory."""

    context: ShardContext
    index: ByUser
    _roster: AuxiliaryParts[RosterPart, tuple[RosterPart, ...]] = field(
        default_factory=lambda: AuxiliaryParts(ROSTER, part, tuple)
    )
    _views: AuxiliaryParts[pl.DataFrame, tuple[pl.DataFrame, ...]] = field(
        default_factory=lambda: AuxiliaryParts(COUNTS, _feed_views, _some)
    )
    _externals: AuxiliaryParts[RosterPart, tuple[RosterPart, ...]] = field(
        default_factory=lambda: AuxiliaryParts(
            EXTERNALS, lambda frame: part(as_roster(frame)), tuple
        )
    )
    _archived: tuple[tuple[int, int], tuple[str, ...]] = ((-1, -1), ())
    _deleted: tuple[tuple[RosterPart, ...], pl.Series] = ((), _NOBODY)

    async def read(self, users: Sequence[str]) -> UsersRead:
        """All data about at most `user_read.MOST_USERS` users. Raises as `read_users` does."""
        found = await read_users(self.context, self.index, users)
        roster = await self._named()
        views = await self._views.all(self.context.store)
        work = partial(_told, roster, views, users)
        named, counts = work() if len(users) <= _FEW else await execute(work)
        facts = {
            user: UserFacts(user, named.get(user), rows.rows, rows.hidden, counts.get(user, 0))
            for user, rows in found.items()
        }
        return UsersRead(facts, self._archived_now())

    async def find(self, externals: Sequence[str], aliases: Sequence[Alias]) -> list[Match]:
        """All users here with one of the identifiers. Raises `NotHeld`."""
        roster = await self._named()
        return await execute(partial(matches, roster, externals, aliases))

    async def living(self, rows: AsyncIterator[pl.DataFrame]) -> AsyncIterator[pl.DataFrame]:
        """The frames without rows of users who were deleted before it begins; no frame is empty.

        Raises `NotHeld` before the first frame, and the errors of `rows`.
        """
        roster = await self._roster.all(self.context.store)
        if self._deleted[0] is not roster:
            self._deleted = (roster, await execute(partial(deleted, roster)))
        gone = self._deleted[1]
        try:
            async for frame in rows:
                kept = frame
                if len(gone):
                    kept = await asyncio.to_thread(
                        frame.filter, ~pl.col("user").is_in(gone.implode())
                    )
                if kept.height:
                    yield kept
        finally:
            if isinstance(rows, AsyncGenerator):
                await rows.aclose()

    async def identify(self, users: pl.Series) -> pl.DataFrame:
        """The last rows, in `ROSTER_SCHEMA`, of the users that the roster has. Raises `NotHeld`."""
        roster = await self._named()
        among = pl.col("user").is_in(users.implode())

        def named() -> pl.DataFrame:
            parts = [each.rows.filter(among) for each in roster]
            return latest(pl.concat([pl.DataFrame(schema=ROSTER_SCHEMA), *parts]))

        return await asyncio.to_thread(named)

    async def _named(self) -> tuple[RosterPart, ...]:
        """The roster rows of users, from the users topic and from events. Raises `NotHeld`."""
        store = self.context.store
        return (*await self._roster.all(store), *await self._externals.all(store))

    def _archived_now(self) -> tuple[str, ...]:
        view, manifest = self.context.view, self.context.store.table.manifest
        # a place comes before the state that hides for good: a new state is told in any case
        mark = (view.changes, len(manifest))
        if self._archived[0] != mark:
            names = tuple(sorted(name for name, held in manifest.items() if held))
            self._archived = (mark, tuple(name for name in names if view.hidden(name)))
        return self._archived[1]

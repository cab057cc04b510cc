"""One shard's answers about users: who bears an identifier, who they are, what happened to them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from agents.profiles.facts import UserFacts, UsersRead
from agents.profiles.person import Match
from agents.profiles.roster_index import RosterPart, matches, part, people
from agents.profiles.side_parts import SideParts
from agents.user_read import read_users
from agents.work.context import Context
from schemas.counts import FEED_VIEWS
from schemas.roster import ROSTER_SCHEMA, latest
from streams.by_user import ByUser
from streams.side import COUNTS, ROSTER

__all__ = ["ShardUsers"]


def _feed_views(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.filter(pl.col("source") == FEED_VIEWS).select("user", "count")


def _together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    nobody = pl.DataFrame(schema=COUNTS.schema).select("user", "count")
    return pl.concat([nobody, *(part for part in parts if part.height)])


@dataclass
class ShardUsers:
    """Keeps the roster and the feed views of its shard in memory."""

    context: Context
    index: ByUser
    _roster: SideParts[RosterPart, tuple[RosterPart, ...]] = field(
        default_factory=lambda: SideParts(ROSTER, part, tuple)
    )
    _views: SideParts[pl.DataFrame, pl.DataFrame] = field(
        default_factory=lambda: SideParts(COUNTS, _feed_views, _together)
    )
    _archived: tuple[tuple[int, int], tuple[str, ...]] = ((-1, -1), ())

    async def read(self, users: Sequence[str]) -> UsersRead:
        """Everything about at most `user_read.MOST_USERS` users. Raises as `read_users` does."""
        found = await read_users(self.context, self.index, users)
        named = people(await self._roster.all(self.context.store), users)
        views = await self._counted(users)
        facts = {
            user: UserFacts(user, named.get(user), rows.rows, rows.hidden, views.get(user, 0))
            for user, rows in found.items()
        }
        return UsersRead(facts, self._archived_now())

    async def find(self, externals: Sequence[str], aliases: Sequence[str]) -> list[Match]:
        """Everyone here who bears one of the identifiers. Raises `NotHeld`."""
        roster = await self._roster.all(self.context.store)
        return await asyncio.to_thread(matches, roster, externals, aliases)

    async def identify(self, users: pl.Series) -> pl.DataFrame:
        """The last rows, in `ROSTER_SCHEMA`, of those whom the roster names. Raises `NotHeld`."""
        roster = await self._roster.all(self.context.store)
        among = pl.col("user").is_in(users.implode())

        def named() -> pl.DataFrame:
            parts = [each.rows.filter(among) for each in roster]
            return latest(pl.concat([pl.DataFrame(schema=ROSTER_SCHEMA), *parts]))

        return await asyncio.to_thread(named)

    async def _counted(self, users: Sequence[str]) -> dict[str, int]:
        rows = await self._views.all(self.context.store)
        found = rows.filter(pl.col("user").is_in(list(users)))
        sums: dict[str, int] = {}
        for user, count in found.iter_rows():
            sums[user] = sums.get(user, 0) + count
        return sums

    def _archived_now(self) -> tuple[str, ...]:
        view, manifest = self.context.view, self.context.store.table.manifest
        # a place comes before the state that hides for good: a new state is told in any case
        mark = (view.changes, len(manifest))
        if self._archived[0] != mark:
            names = tuple(sorted(name for name, held in manifest.items() if held))
            self._archived = (mark, tuple(name for name in names if view.hidden(name)))
        return self._archived[1]

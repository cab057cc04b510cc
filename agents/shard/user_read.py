"""Answers of one shard about some users: their rows of all visible sources."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from agents.resources.threads import execute
from agents.shard.agreement import check_all, check_owned
from agents.shard.jobs.context import ShardContext
from agents.shard.protocol import NotHeld
from streams.user_index.block import CorruptBlock
from streams.user_index.by_user import ByUser
from streams.user_index.read import PinnedIndex, SegmentGone
from streams.user_index.rows import Row, frame_of

__all__ = ["MOST_USERS", "UserRows", "read_users"]

#: One read holds the rows of all its users at once.
MOST_USERS = 50
_ATTEMPTS = 20
_PAUSE_S = 0.005


@dataclass(frozen=True, slots=True)
class UserRows:
    """One user's interactions in one shard.

    `rows` are folded, in `interaction.SCHEMA`, sorted by source, and only of visible sources.
    `hidden` gives the number of rows of hidden sources that the shard found; archived rows are
    among them only until the index drops them. `changes` is the state view's count of changes as of
    the moment that decided which sources are visible.
    """

    rows: pl.DataFrame
    hidden: dict[str, int]
    changes: int
    found_hidden: Sequence[Row] = ()

    @property
    def hidden_rows(self) -> pl.DataFrame:
        """The rows of hidden sources that the shard found, in `interaction.SCHEMA`."""
        return frame_of(self.found_hidden)


async def read_users(
    context: ShardContext, index: ByUser, users: Sequence[str]
) -> dict[str, UserRows]:
    """The rows of at most `MOST_USERS` users as of one moment; each block is read once for all
    users.

    An unknown user has no rows. Raises `ValueError` for too many users, and `NotHeld` as
    `check_owned` and `check_all` do, or if the shard changes too fast.
    """
    if len(users) > MOST_USERS:
        raise ValueError(f"{len(users)} users in one read, at most {MOST_USERS} are allowed")
    store, view = context.store, context.view
    for attempt in range(_ATTEMPTS):
        check_owned(context)
        check_all(context)
        seen = view.changes
        # Visibility has to be of the moment of the pin. Seldom does it change meanwhile; then
        # the names are copied, which costs more.
        names = frozenset(state.source for state in view if state.hidden) if attempt else None
        is_hidden = view.hidden if names is None else names.__contains__
        pinned = index.pin(store.table, store.state_store)
        try:
            found = await execute(partial(_read, pinned, users, is_hidden, seen))
        except SegmentGone:
            # A step is between state store and table: in a moment it is in both.
            await asyncio.sleep(_PAUSE_S)
            continue
        except CorruptBlock:
            index.distrust()
            continue
        if names is not None or view.changes == seen:
            return found
    raise NotHeld(f"shard {context.partition} changes faster than it can be read")


def _read(
    pinned: PinnedIndex, users: Sequence[str], is_hidden: Callable[[str], bool], seen: int
) -> dict[str, UserRows]:
    rows = pinned.find(users)
    masked = frozenset(filter(is_hidden, {row[0] for row in rows}))
    visible = [row for row in rows if row[0] not in masked] if masked else rows
    hidden: dict[str, list[Row]] = {user: [] for user in users}
    if len(visible) < len(rows):
        for row in rows:
            if row[0] in masked:
                hidden[row[1]].append(row)
    counts = Counter(row[1] for row in visible)
    frame, at = frame_of(visible), 0  # sorted by user and source
    found: dict[str, UserRows] = {}
    for user in sorted(hidden):
        sources = dict(Counter(row[0] for row in hidden[user]))
        found[user] = UserRows(frame.slice(at, counts[user]), sources, seen, hidden[user])
        at += counts[user]
    return {user: found[user] for user in users}

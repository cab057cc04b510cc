"""Rows of a source by person: those of users with several ids are put together."""

from collections.abc import AsyncGenerator, AsyncIterator

import polars as pl

from agents.resources.threads import whole
from agents.scatter.context import WorkerContext
from agents.scatter.people import identify, read
from agents.shard.user_read import MOST_USERS
from schemas.tables.fold import fold
from schemas.tables.merges import Persons

__all__ = ["rows_of_persons"]

_AT_ONCE = 2 * MOST_USERS


async def rows_of_persons(
    context: WorkerContext, persons: Persons, rows: AsyncIterator[pl.DataFrame]
) -> AsyncGenerator[tuple[pl.DataFrame, pl.DataFrame], None]:
    """Folded rows, with all rows of each of their users, under the id of the person; and the last
    roster row of each of those users that has one.

    `rows` has all rows of a user in one frame. The rows of users who take part in merges are held
    in memory and come last, because they lie in several shards. Those whose merges lead to nobody
    are left out. Raises Unavailable, and the errors of `rows`.
    """
    held: list[pl.DataFrame] = []
    async for frame in rows:
        alone, others = persons.split(frame)
        if others.height:
            held.append(others)
        if alone.height:
            yield alone, await identify(context, alone["user"].unique())
    if not held:
        return
    together = await whole(lambda: fold(persons.renamed(pl.concat(held))))
    users = together["user"].unique()
    roster = await identify(context, users)
    nobody = await _nobody(context, users.filter(~users.is_in(roster["user"].implode())))
    yield together.filter(~pl.col("user").is_in(nobody)), roster


async def _nobody(context: WorkerContext, users: pl.Series) -> list[str]:
    """Those of these users without a roster row whom no event names either."""
    names, found = users.to_list(), list[str]()
    for at in range(0, len(names), _AT_ONCE):
        part = await read(context, names[at : at + _AT_ONCE])
        found += [user for user, facts in part.facts.items() if not facts.known]
    return found

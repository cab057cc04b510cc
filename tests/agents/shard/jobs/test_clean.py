"""Removing the rows of erased users, step by step."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from agents.shard.jobs.clean import Clean
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.indexer import Indexer
from agents.views.state_view import StateView
from schemas.tables import delta
from schemas.tables.roster import roster_rows
from streams.erasure_key import erasure_key
from streams.kafka import topics as topic_admin
from streams.kafka.environment import Environment
from streams.settings import Settings
from streams.state import keys
from streams.state.erasures import ErasureMarks, puts_of
from streams.state.state_store import shared_cache
from streams.state.store import Step, Store
from tests.rigs.erasing import alone, erasing
from tests.rigs.rows import random_rows

pytestmark = pytest.mark.connected
__all__ = ["alone", "erasing"]

FIRST, SECOND = f"{1:024x}", f"{2:024x}"


class Tidy:
    """An index by user that has nothing to clean."""

    def is_clean(self) -> bool:
        return True


@pytest.fixture
async def context(erasing: Settings, tmp_path: Path) -> AsyncIterator[ShardContext]:
    await topic_admin.create(erasing)
    store = Store(Environment.of(erasing), 0, tmp_path / "store", shared_cache(8 << 20))
    await store.takeover()
    yield ShardContext(Environment.of(erasing), 0, store, StateView())
    await store.close()


async def come(context: ShardContext, user: str) -> list[bytes]:
    """An event and a record of the user: the keys of their deltas."""
    table = context.store.table
    rows = random_rows(table.next_sequence, 1).with_columns(user=pl.lit(user))
    said = roster_rows([(user, cast(Any, {}))], table.next_sequence)
    events, roster = keys.delta(table.next_sequence, 0), keys.delta(table.next_sequence, 0, b"q")
    frames = {events: rows, roster: said}
    puts: Any = [(key, delta.encode(frame)) for key, frame in frames.items()]
    await context.store.commit(Step(puts=puts, frames=frames))
    return [events, roster]


async def erase(context: ShardContext, user: str) -> None:
    key = erasure_key(context.settings)
    assert key is not None
    table = context.store.table
    hot = 0 if table.erasure_marks is None else table.erasure_marks.hot
    (entry,) = table.mask.erased(key.tokens([user]), 0)
    marks = ErasureMarks(key.id, entry.generation, hot)
    await context.store.commit(Step(puts=[marks.put(), *puts_of([entry])]))


def clean_to(context: ShardContext) -> int:
    marks = context.store.table.erasure_marks
    assert marks is not None
    return marks.hot


async def test_what_comes_while_a_job_cleans_goes_with_a_later_erasure(
    context: ShardContext,
) -> None:
    """The job goes on over the later erasure (seed 321 of the simulation)."""
    store = context.store
    await come(context, FIRST)
    await erase(context, FIRST)
    job = Clean(context, cast(Indexer, Tidy()), set())
    while clean_to(context) < 1:
        assert await job.step()
    deltas = await come(context, SECOND)
    await erase(context, SECOND)
    while await job.step():
        pass
    assert clean_to(context) == 2
    assert [key for key in deltas if store.state_store.get(key) is not None] == []

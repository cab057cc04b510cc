"""Reading a source on a real broker's shard while deltas are added and flushed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

from agents.filters.parsing import parse
from agents.filters.plan_facts import FixedPlanFacts, SourceView
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from agents.resources.scheduler import Scheduler
from agents.shard import audience as shard_audience
from agents.shard import read as shard_read
from agents.shard.audience import Audiences
from agents.shard.audience_part import NO_MEMBERS, AudiencePart
from agents.shard.jobs.context import ShardContext
from agents.shard.source_sizes import OUTLINE, SourceSizes
from agents.views.state_view import StateView
from schemas.tables import delta
from streams.kafka import topics as topic_admin
from streams.kafka.environment import Environment
from streams.settings import Settings, load
from streams.state import keys, range_scan
from streams.state.state_store import shared_cache
from streams.state.store import Put, Step, Store
from tests.rigs.dummies import until
from tests.rigs.rows import as_dict, random_rows

pytestmark = pytest.mark.connected

SOURCE = "campaign:0001"
WORLD = FixedPlanFacts(sources={SOURCE: SourceView()})


@pytest.fixture
async def context(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[ShardContext]:
    flags = {
        "bootstrap_servers": broker,
        "prefix": prefix,
        "partitions": 1,
        "data_dir": tmp_path / "data",
        "segment_rows": 100,
        "own_rows": 60,
    }
    settings: Settings = load(flags, env={}, file=tmp_path / "none.toml")
    await topic_admin.create(settings)
    store = Store(Environment.of(settings), 0, tmp_path / "store", shared_cache(8 << 20))
    await store.takeover()
    yield ShardContext(Environment.of(settings), 0, store, StateView())
    await store.close()


async def put(context: ShardContext, seeds: range) -> list[pl.DataFrame]:
    """This many small deltas, in one step."""
    sequence = context.store.table.next_sequence
    frames = {
        keys.delta(sequence + at, 0): random_rows(seed, 9, users=2_000)
        for at, seed in enumerate(seeds)
    }
    puts: list[Put] = [(key, delta.encode(frame)) for key, frame in frames.items()]
    await context.store.commit(Step(puts=puts, frames=frames))
    return list(frames.values())


def of_source(frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    return [frame.filter(pl.col("source") == SOURCE) for frame in frames]


async def test_a_flush_in_the_middle_of_a_read(
    context: ShardContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_scan, "_PER_RANGE", 50)
    monkeypatch.setattr(range_scan, "_SAMPLE", 1)
    frames = await put(context, range(300))
    await context.flush()
    frames += await put(context, range(300, 900))
    assert len(context.store.table.deltas) == 600
    assert len(context.store.table.deltas.frames()) < 20

    rows = shard_read.read(context, SOURCE, None)
    found = [await anext(rows)]
    await put(context, range(900, 950))
    await context.flush()
    await put(context, range(950, 1_000))
    assert len(context.store.table.deltas) == 50
    found += [frame async for frame in rows]

    assert len(found) > 1
    expected = as_dict(of_source(frames))
    assert as_dict(found) == expected
    assert sum(map(len, found)) == len(expected)
    again = [frame async for frame in shard_read.read(context, SOURCE, None)]
    assert len(as_dict(again)) > len(expected)
    sizes = SourceSizes(context.store)
    found_sizes = await sizes.of([SOURCE, "campaign:none"])
    assert list(found_sizes) == [SOURCE]
    assert found_sizes[SOURCE].rows >= len(as_dict(again))
    outline = (await sizes.outline()).filter(pl.col("source") == SOURCE).row(0, named=True)
    size = asdict(found_sizes[SOURCE])
    assert outline == {"source": SOURCE} | {name: size[name] for name in OUTLINE if name in size}


async def texts(parts: AsyncGenerator[AudiencePart, None]) -> list[str]:
    """The users of an answer."""
    found = [part.users async for part in parts]
    return [user for users in found if users is not None for user in users]


async def test_an_audience_is_of_the_moment_of_its_pin(context: ShardContext) -> None:
    frames = await put(context, range(300))
    await context.flush()
    frames += await put(context, range(300, 600))
    leaf = {"filter": "clicked_opened_campaign", "campaign": "0001", "action": "clicked"}
    asked = plan(parse({"not": leaf}), WORLD, now_ms=0)
    assert isinstance(asked, FilterPlan)

    audiences = Audiences(context, Scheduler())
    users = await audiences.find(asked, NO_MEMBERS)
    more = await put(context, range(600, 700))
    await context.flush()
    later = await texts(await audiences.find(asked, NO_MEMBERS))
    found = await texts(users)

    came = {user for frame in more for user in frame["user"]}
    came -= {user for frame in frames for user in frame["user"]}
    assert came & set(later), "who asked later knows more"
    assert not came & set(found)
    everybody = {user for frame in frames for user in frame["user"]}
    clicked = {
        user
        for frame in of_source(frames)
        for user in frame.filter(pl.col("kind") == "clicked")["user"]
    }
    assert found == sorted(everybody - clicked)


async def test_once_asked_users_are_taken_in_as_they_come(
    context: ShardContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_audience, "_FRESHEN_S", 0.01)
    asked = plan(parse({"filter": "never_received", "has": False}), WORLD, now_ms=0)
    assert isinstance(asked, FilterPlan)
    audiences = Audiences(context, Scheduler())

    def known() -> int:
        return sum(map(len, audiences._user_list._runs))

    keeping = asyncio.create_task(audiences.keep_fresh())
    try:
        await put(context, range(300))
        assert not known(), "nobody has asked"
        async for _ in await audiences.find(asked, NO_MEMBERS):
            pass
        before = known()
        assert before
        await put(context, range(300, 900))
        await until(lambda: known() > before)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

"""Only the owner of a shard answers for it, and it proves its ownership after every doubt."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agents.filters.parsing import parse
from agents.filters.plan_facts import FixedPlanFacts, SourceView
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from agents.shard.ownership import Ownership
from agents.shard.shard import Shard
from agents.supervision.shard_manager import NotHeld
from schemas.records.lifecycle import State
from streams.group.membership import SESSION_S
from streams.kafka.log import Fenced
from streams.kafka.offsets import bounds
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state.store import Step
from tests.rigs.shard import A, B, alone, events, start

pytestmark = pytest.mark.connected
__all__ = ["alone"]


async def held(shard: Shard) -> None:
    """Ask everything that a shard can be asked."""
    found = plan(parse({"filter": "never_received"}), WORLD, now_ms=0)
    assert isinstance(found, FilterPlan)
    async for _ in shard.read(B, None):
        pass
    async for _ in await shard.audience(found):
        pass
    for ask in ASKED.values():
        await ask(shard)


WORLD = FixedPlanFacts(sources={B: SourceView()})
NOBODY = pl.Series("user", ["nobody"])
ASKED: dict[str, Callable[[Shard], Coroutine[Any, Any, object]]] = {
    "rows of users": lambda shard: shard.read_users(["nobody"]),
    "users": lambda shard: shard.users(["nobody"]),
    "merges": lambda shard: shard.merges("none"),
    "bearers": lambda shard: shard.find_users(["nobody"], []),
    "roster": lambda shard: shard.identify(NOBODY),
    "figures": lambda shard: shard.analytics(B),
    "sizes": lambda shard: shard.sizes([B]),
    "outline": lambda shard: shard.outline(),
}


async def refused(shard: Shard) -> None:
    """Every one of these questions is refused."""
    found = plan(parse({"filter": "never_received"}), WORLD, now_ms=0)
    assert isinstance(found, FilterPlan)
    with pytest.raises(NotHeld):
        await anext(aiter(shard.read(B, None)))
    with pytest.raises(NotHeld):
        await shard.audience(found)
    for ask in ASKED.values():
        with pytest.raises(NotHeld):
            await ask(shard)


async def test_a_shard_that_another_worker_has_taken_over_answers_nothing(
    alone: Settings, tmp_path: Path
) -> None:
    ownership = Ownership()
    former = await start(alone, ownership=ownership)
    await former.send(events(200), 0)
    await held(former.shard)
    present = await start(replace(alone, data_dir=tmp_path / "other"))
    try:
        await present.tell(A, State.EXPIRING, 2)
        await present.applied(A, 2)
        ownership.doubt()
        await refused(former.shard)
        with pytest.raises(Fenced):
            await asyncio.wait_for(asyncio.shield(former.task), 30)
        await refused(former.shard)
    finally:
        await former.stop()
        await present.stop()


async def test_a_shard_that_starts_while_the_group_is_silent_leaves_the_present_owner_alone(
    alone: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a worker that wakes in the pause between two starts: the group has given the shard to
    another one meanwhile.
    """
    ownership, woken, silent_s = Ownership(), Ownership(), SESSION_S
    woken.silent_s = lambda: silent_s
    present = await start(alone, ownership=ownership)
    elsewhere = replace(alone, data_dir=tmp_path / "other")
    starting = asyncio.create_task(start(elsewhere, ownership=woken))
    try:
        await present.until(lambda: "shard 0 waits for the group" in caplog.text)
        ownership.doubt()
        await present.until(lambda: present.shard.ready)  # so nobody has fenced it
        assert not starting.done()
        silent_s = 0.0
        await (await starting).stop()
        ownership.doubt()
        with pytest.raises(Fenced):
            await asyncio.wait_for(asyncio.shield(present.task), 30)
    finally:
        starting.cancel()
        await present.stop()


async def changelog_end(settings: Settings) -> int:
    topic = Topics(settings.prefix).changelog
    return (await bounds(settings, [(topic, 0)]))[topic, 0][1]


async def test_a_proof_is_one_small_step_for_each_doubt_and_none_for_a_question(
    alone: Settings,
) -> None:
    ownership = Ownership()
    stand = await start(alone, ownership=ownership)
    try:
        before = await changelog_end(alone)
        ownership.doubt()
        ownership.doubt()
        await stand.until(lambda: stand.shard.ready)
        proven = await changelog_end(alone)
        assert proven - before <= 2 * 2, "a record and a marker each"
        for _ in range(20):
            await held(stand.shard)
        assert await changelog_end(alone) == proven
        await stand.stop()
        # and what it wrote is in nobody's way
        stand = await start(alone)
        await held(stand.shard)
    finally:
        await stand.stop()


async def test_a_step_that_ends_after_the_doubt_is_a_proof(alone: Settings) -> None:
    ownership = Ownership()
    stand = await start(alone, ownership=ownership)
    try:
        store = stand.shard._store
        before = await changelog_end(alone)
        async with store._lock:  # neither a step nor a proof can begin
            ownership.doubt()
            assert not stand.shard.ready
            await store._commit(Step(puts=[store.table.cursor_put(store.table.cursor)]))
            assert stand.shard.ready
        await stand.shard._store.prove()
        assert await changelog_end(alone) - before <= 2, "a record and a marker"
    finally:
        await stand.stop()


@pytest.mark.parametrize("name", ["pinned", *ASKED])
async def test_a_doubt_that_comes_while_an_answer_is_made_refuses_it(
    alone: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ownership = Ownership()
    stand = await start(alone, ownership=ownership)
    try:
        await held(stand.shard)
        async with stand.shard._store._lock:  # so that it cannot be proven meanwhile
            if name == "pinned":
                pin = stand.shard._store.pin

                async def late() -> Any:
                    pinned = await pin()
                    ownership.doubt()
                    return pinned

                monkeypatch.setattr(stand.shard._store, "pin", late)
                with pytest.raises(NotHeld):
                    await anext(aiter(stand.shard.read(B, None)))
            else:
                answer = asyncio.ensure_future(ASKED[name](stand.shard))
                await asyncio.sleep(0)
                if not answer.done():
                    ownership.doubt()
                    with pytest.raises(NotHeld):
                        await answer
    finally:
        await stand.stop()


async def test_a_view_that_calls_visible_what_the_shard_has_moved_away_gets_no_answer(
    alone: Settings,
) -> None:
    """As a worker that comes back sees it: EXPIRING applied long ago, and visible now."""
    stand = await start(alone)
    try:
        await stand.send(events(200), 0)
        await stand.tell(A, State.EXPIRING, 2)
        await stand.applied(A, 2)
        await stand.tell(A, State.STOPPED, 5)
        with pytest.raises(NotHeld, match="EXPIRING at version 2"):
            await anext(aiter(stand.shard.read(A, 5)))
        for ask in (stand.shard.read_users(["u"]), stand.shard.users(["u"])):
            with pytest.raises(NotHeld, match="EXPIRING at version 2"):
                await ask
        with pytest.raises(NotHeld, match="EXPIRING at version 2"):
            await stand.shard.analytics(A)
        with pytest.raises(NotHeld, match="EXPIRING at version 2"):
            await stand.shard.sizes([A])
    finally:
        await stand.stop()

"""Definitions as a worker has them after each record."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agents.catalog_view import CatalogView, follow
from agents.publish import Chunk, publish
from agents.query.world import LiveWorld
from agents.state_view import StateView
from schemas import codec
from schemas.lifecycle import SourceState, State
from streams.settings import Settings
from streams.topics import Topics
from tests.agents.dummies import until


def record(key: str, **more: Any) -> tuple[bytes, bytes]:
    return key.encode(), codec.encode("definition", {"key": key, "status": "ACTIVE", **more})


def test_the_latest_record_counts_with_its_parts_and_tags() -> None:
    view = CatalogView()
    view.apply(*record("canvas:c", tags=["t"], steps=[{"id": "s", "name": "Step"}]))
    view.apply(*record("segment:s", tags=["t"], filters="{}"))
    entry = view.get("canvas:c")
    assert entry is not None
    assert (entry.steps, entry.variations) == ({"s": "Step"}, {})
    assert view.tagged("t") == {"canvas:c", "segment:s"}
    assert [each.definition.key for each in view.sources()] == ["canvas:c"]
    assert [each.definition.key for each in view.segments()] == ["segment:s"]
    view.apply(*record("canvas:c", tags=["u"]))
    assert sorted(view.tagged("t")) == ["segment:s"]
    assert sorted(view.tagged("u")) == ["canvas:c"]
    view.apply(b"canvas:c", None)
    assert (view.get("canvas:c"), view.tagged("u"), len(view)) == (None, frozenset(), 1)
    assert view.changes == 4


def test_what_is_older_or_unreadable_leaves_the_former() -> None:
    view = CatalogView()
    view.apply(*record("campaign:a", name="new", updated_at=2))
    for key, value in (
        record("campaign:a", name="old", updated_at=1),
        (b"campaign:a", b"{not json"),
        (b"campaign:a", record("campaign:b")[1]),
    ):
        view.apply(key, value)
        entry = view.get("campaign:a")
        assert entry is not None
        assert entry.definition.name == "new"
    assert view.get("campaign:b") is None
    assert "campaign:b" in view.unreadable["campaign:a"]
    view.apply(*record("campaign:a", name="newer", updated_at=3))
    assert view.unreadable == {}


def test_the_world_is_what_both_views_say() -> None:
    states, catalog = StateView(), CatalogView()
    world = LiveWorld(states, catalog)

    def state(source: str, state: State, **more: Any) -> None:
        given = {"source": source, "state": state.value, "version": 3, "epoch": 0, "updated_at": 1}
        states.apply(source.encode(), codec.encode("state", given | more))

    assert world.source("campaign:a") is None
    state("campaign:a", State.UNKNOWN)
    found = world.source("campaign:a")
    assert found is not None
    assert (found.state, found.version, found.steps) == (State.UNKNOWN, 3, frozenset())
    catalog.apply(*record("campaign:b", tags=["t"], variations=[{"id": "v"}], legacy_deleted=True))
    found = world.source("campaign:b")
    assert found is not None
    assert (found.version, found.legacy_deleted, sorted(found.variations)) == (None, True, ["v"])
    catalog.apply(*record("segment:s", tags=["t", "only"], filters='{"and": []}'))
    assert world.source("segment:s") is None
    segment = world.segment("segment:s")
    assert segment is not None
    assert segment.filters == '{"and": []}'
    assert world.segment("campaign:b") is None
    # a deleted definition keeps its last tags; one that is there has those of now
    state("campaign:gone", State.STOPPED, tags=["t"], deleted=True)
    state("campaign:b", State.ACTIVE, tags=["former"])
    assert sorted(world.tagged("t") or ()) == ["campaign:b", "campaign:gone"]
    assert world.tagged("only") is None
    assert world.tagged("former") is None


def test_records_are_looked_through_once_however_many_tags_are_asked() -> None:
    class Counted(StateView):
        looks = 0

        def __iter__(self) -> Iterator[SourceState]:
            self.looks += 1
            return super().__iter__()

    states = Counted()
    known = SourceState("campaign:x", State.STOPPED, 1, tags=("7",))
    states.apply(b"campaign:x", codec.encode("state", known.to_record()))
    world = LiveWorld(states, CatalogView())
    assert [tag for tag in range(20) if world.tagged(str(tag))] == [7]
    assert states.looks == 1


@pytest.mark.connected
async def test_it_follows_the_topic(settings: Settings, topics: Topics) -> None:
    first, second = record("campaign:a"), record("campaign:b")
    await publish(settings, [Chunk("catalog", [first[0]], [first[1]])])
    view = CatalogView()
    task = asyncio.create_task(follow(settings, view))
    try:
        async with asyncio.timeout(30):
            await view.caught_up.wait()
        assert view.get("campaign:a") is not None
        await publish(settings, [Chunk("catalog", [second[0], first[0]], [second[1], None])])
        await until(lambda: view.get("campaign:b") is not None and len(view) == 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""A worker's definitions after each record."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.audience.live_plan_facts import LivePlanFacts
from agents.coordinator.coordinator import Coordinator
from agents.coordinator.rules import ledger
from agents.coordinator.rules.inputs import DefinitionRead
from agents.tools.publish import Chunk, publish
from agents.views.catalog_view import CatalogView, follow, read
from agents.views.state_view import StateView
from schemas.records import codec
from schemas.records.lifecycle import Definition, SourceState, State
from streams.clock import ManualClock
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.desk import START, Desk
from tests.rigs.dummies import until

DEADLINE_S = 60


def record(key: str, **more: Any) -> tuple[bytes, bytes]:
    """A definition as the coordinator keeps it."""
    desk = Desk()
    found = Definition.from_record({"key": key, "status": "ACTIVE", **more})
    desk.take(DefinitionRead(key, found))
    return next((k.encode(), v) for k, v in desk.log if k == f"k/{key}" and v is not None)


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
    view.apply(b"k/canvas:c", None)
    assert (view.get("canvas:c"), view.tagged("u"), len(view)) == (None, frozenset(), 1)
    assert view.changes == 4


def test_what_the_coordinator_keeps_holds_whatever_its_age() -> None:
    view = CatalogView()
    view.apply(*record("campaign:a", name="new", updated_at=START + 2))
    view.apply(*record("campaign:a", name="old", updated_at=START + 1))
    entry = view.get("campaign:a")
    assert entry is not None
    assert entry.definition.name == "old"
    with pytest.raises(ledger.Unreadable):
        view.apply(b"k/campaign:a", b"{not json")
    assert view.get("campaign:a") == entry
    view.apply(b"a/campaign:a", b'{"detail": "$: not JSON"}')
    assert view.quarantined["campaign:a"].detail == "$: not JSON"
    view.apply(b"a/campaign:a", None)
    assert view.quarantined == {}
    view.apply(b"w", b'{"paused": true}')
    assert view.sweep.paused
    view.apply(b"c", b'{"catalog": 7}')
    assert view.taken_in == {"catalog": 7}


def test_the_world_is_what_both_views_say() -> None:
    states, catalog = StateView(), CatalogView()
    plan_facts = LivePlanFacts(states, catalog)

    def state(source: str, state: State, **more: Any) -> None:
        given = {"source": source, "state": state.value, "version": 3, "epoch": 0, "updated_at": 1}
        states.apply(source.encode(), codec.encode("state", given | more))

    assert plan_facts.source("campaign:a") is None
    state("campaign:a", State.UNKNOWN)
    found = plan_facts.source("campaign:a")
    assert found is not None
    assert (found.state, found.version, found.steps) == (State.UNKNOWN, 3, frozenset())
    catalog.apply(*record("campaign:b", tags=["t"], variations=[{"id": "v"}], legacy_deleted=True))
    found = plan_facts.source("campaign:b")
    assert found is not None
    assert (found.version, found.legacy_deleted, sorted(found.variations)) == (None, True, ["v"])
    catalog.apply(*record("segment:s", tags=["t", "only"], filters='{"and": []}'))
    assert plan_facts.source("segment:s") is None
    segment = plan_facts.segment("segment:s")
    assert segment is not None
    assert segment.filters == '{"and": []}'
    assert plan_facts.segment("campaign:b") is None
    # a deleted definition keeps its last tags; one that is there has those of now
    state("campaign:gone", State.STOPPED, tags=["t"], deleted=True)
    state("campaign:b", State.ACTIVE, tags=["former"])
    assert sorted(plan_facts.tagged("t") or ()) == ["campaign:b", "campaign:gone"]
    assert plan_facts.tagged("only") is None
    assert plan_facts.tagged("former") is None


def test_records_are_looked_through_once_however_many_tags_are_asked() -> None:
    class Counted(StateView):
        looks = 0

        def __iter__(self) -> Iterator[SourceState]:
            self.looks += 1
            return super().__iter__()

    states = Counted()
    known = SourceState("campaign:x", State.STOPPED, 1, tags=("7",))
    states.apply(b"campaign:x", codec.encode("state", known.to_record()))
    plan_facts = LivePlanFacts(states, CatalogView())
    assert [tag for tag in range(20) if plan_facts.tagged(str(tag))] == [7]
    assert states.looks == 1


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[CatalogView]:
    view = CatalogView()
    task = asyncio.create_task(follow(Environment.of(settings), view))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await view.caught_up.wait()
        yield view
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def coordinating(settings: Settings) -> AsyncIterator[None]:
    coordinator = Coordinator(Environment.of(settings))
    task = asyncio.create_task(coordinator.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def told(key: str, **more: Any) -> tuple[bytes, bytes]:
    return key.encode(), codec.encode("definition", {"key": key, "status": "ACTIVE", **more})


async def write(settings: Settings, *records: tuple[bytes, bytes | None]) -> None:
    keys, values = zip(*records, strict=True)
    await publish(settings, [Chunk("catalog", [*keys], [*values])])


@pytest.mark.connected
async def test_a_new_worker_and_an_old_one_answer_alike_whatever_compaction_leaves(
    settings: Settings, topics: Topics
) -> None:
    a, b = "campaign:a", "campaign:b"
    new = told(a, name="new", updated_at=START + 2, steps=[{"id": "s", "name": "Step"}])
    old = told(a, name="old", updated_at=START + 1)
    await write(settings, new)
    async with coordinating(settings), following(settings) as before:
        await write(settings, old, told(b))
        await until(lambda: before.get(b) is not None)
        # all that compaction leaves of these: what stands before the last record of a key goes
        partition = TopicPartition(topics.catalog, 0)
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
        await admin.start()
        policy = ConfigResource(
            ConfigResourceType.TOPIC, topics.catalog, configs={"cleanup.policy": "delete"}
        )
        await admin.alter_configs([policy])
        await admin.delete_records({partition: RecordsToDelete(1)})
        await admin.close()
        async with following(settings) as after:
            assert after.get(a) == before.get(a)
        assert (await read(Environment.of(settings, ManualClock(START)))).get(a) == before.get(a)
    found = before.get(a)
    assert found is not None
    assert (found.definition.name, found.steps) == ("new", {"s": "Step"})
    async with coordinating(settings), following(settings) as again:
        assert again.get(a) == found


@pytest.mark.connected
async def test_it_follows_what_the_coordinator_takes_in(settings: Settings, topics: Topics) -> None:
    await write(settings, told("campaign:a"), told("canvas:x", filters="not json"))
    # what the coordinator has still to take in counts for who reads once
    once = await read(Environment.of(settings, ManualClock(START)))
    assert once.get("campaign:a") is not None
    assert "not JSON" in once.quarantined["canvas:x"].detail
    async with coordinating(settings), following(settings) as view:
        assert view.get("campaign:a") is not None
        assert view.quarantined == once.quarantined
        await write(settings, told("campaign:b"), (b"campaign:a", None))
        await until(lambda: view.get("campaign:b") is not None and len(view) == 2)

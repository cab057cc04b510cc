import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.scatter.context import WorkerContext
from agents.supervision.shard_manager import Actors, Deliver, ShardManager
from agents.supervision.topic_watch import TopicWatch
from agents.worker.app import App, build_app
from schemas.records.lifecycle import SourceState, State
from streams.kafka.environment import Environment
from streams.kafka.log import Fenced
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.dummies import DummyShard, Open, States, rows, until

pytestmark = pytest.mark.connected


class Worker:
    """An app with dummy shards."""

    def __init__(self, settings: Settings, *records: SourceState) -> None:
        self.settings = settings
        self.made: list[DummyShard] = []
        self.coordinators = 0
        self.failed: list[BaseException] = []
        self.states = States(*records)
        self.deliver: Deliver
        self.app: App = build_app(
            settings,
            Actors(Open(), self._shard, self._coordinator),
            self._context,
            on_failed=self.failed.append,
        )

    def _context(self, manager: ShardManager) -> WorkerContext:
        environment = Environment.of(self.settings)
        watch = TopicWatch(environment)
        return WorkerContext(self.settings, manager, self.states, watch, environment.kafka)

    def _shard(self, partition: int, deliver: Deliver) -> DummyShard:
        self.deliver = deliver
        shard = DummyShard(partition)
        self.made.append(shard)
        return shard

    def _coordinator(self) -> DummyShard:
        self.coordinators += 1
        return DummyShard(-1)

    @property
    def held(self) -> set[int]:
        return {p for p, shard in self.app.manager.shards.items() if shard and shard.ready}


@asynccontextmanager
async def running(settings: Settings, *records: SourceState) -> AsyncIterator[Worker]:
    # a data folder each: who starts in one takes its predecessor there out of the group
    folder = settings.data_dir / uuid.uuid4().hex
    worker = Worker(dataclasses.replace(settings, data_dir=folder), *records)
    async with asyncio.timeout(60):
        await worker.app.start()
        try:
            yield worker
        finally:
            await worker.app.stop()
    assert worker.failed == []


async def test_one_worker_gets_everything_and_takes_batches(
    settings: Settings, topics: Topics
) -> None:
    async with running(settings) as worker:
        await until(lambda: worker.held == {0, 1, 2, 3} and worker.coordinators)
        assert worker.app.manager.directory.shards == dict.fromkeys(
            range(4), worker.app.context.address
        )
        shard = worker.made[2]
        await worker.deliver(shard, b"batch")
        async with asyncio.timeout(10):
            assert await shard.offered.get() == b"batch"


async def test_heartbeats_keep_a_worker_in_touch(settings: Settings, topics: Topics) -> None:
    async with running(settings) as worker:
        await until(lambda: worker.held == {0, 1, 2, 3})
        generation, membership = worker.app.manager.generation, worker.app.membership
        for _ in range(3):
            # it falls with a heartbeat alone, one a second: nobody joins
            await until(lambda: membership.silent_s() > 0.4)
            await until(lambda: membership.silent_s() < 0.4)
        assert worker.app.manager.generation == generation
        assert worker.app.manager.in_touch


async def test_two_workers_share_and_one_takes_over(settings: Settings, topics: Topics) -> None:
    async with running(settings) as first:
        await until(lambda: first.held == {0, 1, 2, 3})
        before = list(first.made)
        async with running(settings) as second:
            await until(lambda: len(first.held) == 2 and len(second.held) == 2)
            assert first.held | second.held == {0, 1, 2, 3}
            # what stays goes on as it was
            kept = [shard for shard in before if shard.partition in first.held]
            assert all(first.app.manager.shards[shard.partition] is shard for shard in kept)
            assert first.coordinators == 1
            assert second.coordinators == 0
            addresses = second.app.manager.directory.shards
            assert addresses[min(first.held)] == first.app.context.address
            assert addresses[min(second.held)] == second.app.context.address
        await until(lambda: first.held == {0, 1, 2, 3})


async def test_rows_come_from_both_workers(settings: Settings, topics: Topics) -> None:
    record = SourceState("campaign:a", State.ACTIVE, 7)
    async with running(settings, record) as first, running(settings, record) as second:
        await until(lambda: len(first.held) == 2 and len(second.held) == 2)
        for shard in (*first.made, *second.made):
            shard.versions["campaign:a"] = 7
            shard.frames = [rows("campaign:a", f"u{shard.partition}")]
        await until(lambda: first.app.manager.generation == second.app.manager.generation)
        url = f"{second.app.context.address}/sources/campaign:a"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/interactions?format=csv") as answer:
                assert answer.status == 200
                lines = (await answer.text()).splitlines()
            async with session.get(url) as answer:
                described = await answer.json()
    assert sorted(line.split(",")[1] for line in lines[1:]) == ["u0", "u1", "u2", "u3"]
    assert described["sizes"]["rows"] == 4
    assert described["missing_shards"] == []


async def test_a_fenced_shard_waits_for_a_new_generation(
    settings: Settings, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.supervision.supervisor.REJOIN_AFTER_S", 0.2)
    async with running(settings) as worker, running(settings):
        await until(lambda: len(worker.held) == 2)
        generation = worker.app.manager.generation
        partition = min(worker.held)
        shard = worker.app.manager.shards[partition]
        assert isinstance(shard, DummyShard)
        shard.ends.set_result(Fenced("somebody newer"))
        await until(lambda: worker.app.manager.shards[partition] not in (None, shard))
        assert worker.app.manager.generation > generation


async def test_cursors_are_committed_for_lag_tools(
    settings: Settings, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.worker.app.TELL_OFFSETS_S", 0.2)
    topic = topics.event("send")
    async with running(settings) as worker:
        await until(lambda: worker.held == {0, 1, 2, 3})
        for shard in worker.made:
            shard.cursor = {topic: 40 + shard.partition, "not.assigned": 3}
        other = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers, group_id=settings.group_id
        )
        await other.start()
        try:
            async with asyncio.timeout(20):
                while await other.committed(TopicPartition(topic, 3)) != 43:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            await other.stop()


async def test_a_taken_port_is_said(settings: Settings, topics: Topics) -> None:
    async with running(settings) as worker:
        port = int(worker.app.context.address.rpartition(":")[2])
        second = Worker(dataclasses.replace(settings, http_port=port))
        with pytest.raises(Exception, match="http-port"):
            await second.app.start()
        await second.app.stop()

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka.errors import RequestTimedOutError
from faust.app.base import BootStrategy

from schemas.errors import Fatal
from streams.group.membership import Assigned, Membership
from streams.group.transport import SCHEME
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.dummies import until

pytestmark = pytest.mark.connected


class _Boot(BootStrategy):
    enable_kafka_producer = False
    enable_web = False

    def tables(self) -> list[Any]:
        return []


class Member(faust.App):
    """Nothing but membership."""

    BootStrategy = _Boot
    membership: Membership
    told: "asyncio.Queue[Assigned]"

    async def on_first_start(self) -> None: ...

    async def on_start(self) -> None:
        await super().on_start()
        tables: Any = self.tables
        tables._tables_registered.set()

    async def next_told(self, wanted: Callable[[Assigned], object]) -> Assigned:
        async with asyncio.timeout(30):
            while True:
                told = await self.told.get()
                if wanted(told):
                    return told


@asynccontextmanager
async def member(
    settings: Settings, address: str, failed: list[BaseException] | None = None
) -> AsyncIterator[Member]:
    topics = Topics(settings.prefix)
    app = Member(
        settings.group_id,
        broker=f"{SCHEME}://{settings.bootstrap_servers}",
        store="memory://",
        datadir=str(settings.data_dir),
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
    )
    unexpected: list[BaseException] = []
    app.told = asyncio.Queue()
    sharded = list(topics.events.values())
    app.topics.add(app.topic(*sharded, topics.control))
    app.membership = Membership(
        settings,
        sharded,
        topics.control,
        address=lambda: address,
        on_assigned=app.told.put,
        on_failed=(unexpected if failed is None else failed).append,
    )
    async with asyncio.timeout(60):
        await app.start()
        try:
            yield app
        finally:
            await app.stop()
    assert unexpected == []


async def test_one_member_holds_all_and_fetches_nothing(settings: Settings, topics: Topics) -> None:
    async with member(settings, "http://one:1") as app:
        told = await app.next_told(lambda told: told.shards)
        assert told.shards == {0, 1, 2, 3}
        assert told.control
        assert told.directory.shards == dict.fromkeys(range(4), "http://one:1")
        consumer: Any = app.consumer
        paused = consumer._thread._consumer.paused()
        assert {(tp.topic, tp.partition) for tp in paused} == {
            *((topic, p) for topic in topics.events.values() for p in range(4)),
            (topics.control, 0),
        }


async def test_rejoin_from_another_thread_makes_a_generation(
    settings: Settings, topics: Topics, tmp_path: Any
) -> None:
    other = {**vars(settings), "data_dir": tmp_path / "other"}
    async with member(settings, "http://one:1") as one:
        first = await one.next_told(lambda told: told.shards)
        async with member(Settings(**other), "http://two:1") as two:
            shared = await two.next_told(lambda told: len(told.shards) == 2)
            assert shared.generation > first.generation
            # of the two, the follower: a leader's join always makes a generation
            thread = threading.Thread(target=two.membership.request_rejoin)
            thread.start()
            again = await two.next_told(lambda told: told.generation > shared.generation)
            await asyncio.to_thread(thread.join)
            assert again.shards == shared.shards
            kept = await one.next_told(lambda told: told.generation == again.generation)
            assert kept.shards | again.shards == {0, 1, 2, 3}
            assert kept.directory == again.directory
        left = await one.next_told(lambda told: len(told.shards) == 4)
        assert left.directory.control == "http://one:1"


async def test_a_successor_knows_its_predecessor(settings: Settings, topics: Topics) -> None:
    async with member(settings, "http://one:1") as app:
        await app.next_told(lambda told: told.shards)
        former, _ = app.membership.former_member
        assert former
    async with member(settings, "http://one:1") as app:
        assert app.membership.former_member == (former, "")
        await app.next_told(lambda told: told.shards)
        assert app.membership.former_member[0] not in ("", former)


async def test_a_static_member_that_restarts_moves_nothing_and_makes_no_generation(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    def named(name: str) -> Settings:
        more = {"data_dir": tmp_path / name, "group_instance_id": name,
                "group_instance_session": "PT20S"}  # fmt: skip
        return replace(settings, **more)  # type: ignore[arg-type]  # read by field, as in load

    failed: list[BaseException] = []
    async with member(named("a"), "http://a:1", failed) as a:
        await a.next_told(lambda told: told.shards)
        async with member(named("b"), "http://b:1") as b:
            shared = await b.next_told(lambda told: len(told.shards) == 2)
            await a.next_told(lambda told: told.generation == shared.generation)
        # it has ended, and has not left
        async with member(named("b"), "http://b:1") as b:
            again = await b.next_told(lambda told: told.shards)
            assert again == shared
            assert a.told.empty()
        # the others would ask it at its former address
        async with member(named("b"), "http://b:2") as b:
            moved = await b.next_told(lambda told: told.generation > shared.generation)
            assert moved.shards == shared.shards
            here = await a.next_told(lambda told: told.generation == moved.generation)
            assert here.directory == moved.directory
            assert {moved.directory.shards[p] for p in moved.shards} == {"http://b:2"}
        # a process with the same name and folder: the first one is taken for dead, and is told
        assert failed == []
        async with member(named("a"), "http://a:1") as usurper:
            await usurper.next_told(lambda told: told.shards)
            await until(lambda: bool(failed), 30)
            assert isinstance(failed[0], Fatal)
            assert "Another worker has the group_instance_id a" in str(failed[0])
            assert a.membership.silent_s() == float("inf")
            assert usurper.membership.silent_s() < 10


async def test_a_commit_for_lag_tools_that_times_out_is_tried_once_and_leaves_nothing_behind(
    settings: Settings, topics: Topics
) -> None:
    errors: list[dict[str, Any]] = []
    asked: list[str] = []
    async with member(settings, "http://one:1") as app:
        await app.next_told(lambda told: told.shards)
        thread: Any = app.membership._link
        thread.thread_loop.set_exception_handler(lambda _, context: errors.append(context))

        async def hung(request: Any) -> None:
            asked.append(type(request).__name__)
            await asyncio.sleep(3.5)
            raise RequestTimedOutError

        thread._consumer._coordinator._send_req = hung
        await app.membership.tell_offsets({(topics.event("click"), 0): 5})
        await asyncio.sleep(1.0)  # as long as a task left behind would have needed
        gc.collect()
    assert asked.count("OffsetCommitRequest") == 1
    assert errors == []

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import faust
import pytest
from aiokafka.errors import RequestTimedOutError
from faust.app.base import BootStrategy

from streams.group.membership import Assigned, Membership
from streams.group.transport import SCHEME
from streams.kafka.topics import Topics
from streams.settings import Settings

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
async def member(settings: Settings, address: str) -> AsyncIterator[Member]:
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
    failed: list[BaseException] = []
    app.told = asyncio.Queue()
    sharded = list(topics.events.values())
    app.topics.add(app.topic(*sharded, topics.control))
    app.membership = Membership(
        settings,
        sharded,
        topics.control,
        address=lambda: address,
        on_assigned=app.told.put,
        on_failed=failed.append,
    )
    async with asyncio.timeout(60):
        await app.start()
        try:
            yield app
        finally:
            await app.stop()
    assert failed == []


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
        former = app.membership.former_member
        assert former
    async with member(settings, "http://one:1") as app:
        assert app.membership.former_member == former
        await app.next_told(lambda told: told.shards)
        assert app.membership.former_member not in ("", former)


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

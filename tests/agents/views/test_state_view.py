"""A worker's copy of lifecycle.state."""

import asyncio

import pytest

from agents.views.state_view import StateView, follow
from schemas.records import codec
from schemas.records.lifecycle import WORKING, SourceState, State
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import COUNTS
from streams.kafka.log import Record
from streams.kafka.step import StepProducer
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.dummies import until


def record(source: str, state: State, version: int) -> bytes:
    return codec.encode("state", SourceState(source, state, version).to_record())


def test_the_latest_record_counts_and_an_old_copy_does_not() -> None:
    view = StateView()
    view.apply(b"campaign:a", record("campaign:a", State.STOPPED, 2))
    view.apply(b"campaign:a", record("campaign:a", State.ACTIVE, 1))
    found = view.get("campaign:a")
    assert found is not None
    assert (found.state, found.version, view.changes) == (State.STOPPED, 2, 1)
    view.apply(b"campaign:a", record("campaign:a", State.EXPIRING, 3))
    assert view.hidden("campaign:a")
    assert not view.hidden("campaign:unheard-of")


def test_a_null_value_forgets() -> None:
    view = StateView()
    view.apply(b"campaign:a", record("campaign:a", State.EXPIRED, 2))
    assert view.apply(b"campaign:a", None) is None
    assert view.get("campaign:a") is None
    assert len(view) == 0


def test_sorted_and_by_state() -> None:
    view = StateView()
    for name, state in (("b", State.EXPIRING), ("a", State.ACTIVE), ("c", State.RESTORING)):
        view.apply(f"campaign:{name}".encode(), record(f"campaign:{name}", state, 1))
    assert [one.source for one in view] == ["campaign:a", "campaign:b", "campaign:c"]
    assert [one.source for one in view.in_states(WORKING)] == ["campaign:b", "campaign:c"]


async def test_waiters_wake() -> None:
    view = StateView()
    waits = asyncio.gather(view.reached(4), view.changed(0))
    view.apply(b"campaign:a", record("campaign:a", State.ACTIVE, 1))
    await view.advance(5)
    _, changes = await asyncio.wait_for(waits, 5)
    assert changes == 1


@pytest.mark.connected
async def test_follow_reads_what_was_there_and_what_comes(
    settings: Settings, topics: Topics
) -> None:
    producer = StepProducer(settings, f"{settings.prefix}writer")
    await producer.start()
    view = StateView()
    first = Record(topics.state, b"campaign:a", record("campaign:a", State.ACTIVE, 1))
    await producer.commit([first])
    task = asyncio.create_task(follow(Environment.of(settings), view))
    try:
        async with asyncio.timeout(30):
            await view.caught_up.wait()
            # a commit is acknowledged a little before readers see it
            await until(lambda: view.get("campaign:a") is not None)
            second = Record(topics.state, b"campaign:a", record("campaign:a", State.STOPPED, 2))
            (offset,) = await producer.commit([second])
            await view.reached(offset)
            found = view.get("campaign:a")
            assert found is not None
            assert found.state is State.STOPPED
            for value in (b"garbage", None, record("campaign:a", State.ACTIVE, 1 << 60)):
                (offset,) = await producer.commit([Record(topics.state, b"campaign:a", value)])
                await view.reached(offset)
                assert view.get("campaign:a") == found
            assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.close()


@pytest.mark.connected
async def test_what_is_no_state_is_left_out_and_a_damaged_source_is_waited_for(
    settings: Settings, topics: Topics
) -> None:
    producer = StepProducer(settings, f"{settings.prefix}writer")
    await producer.start()
    strangers = [(b"\xff", b"x"), (b"hello", b""), (b"campaign:\xff", b"x"), (b"campaign:a", None)]
    for key, value in [*strangers, (b"campaign:a", b"damaged")]:
        await producer.commit([Record(topics.state, key, value)])
    view = StateView()
    task = asyncio.create_task(follow(Environment.of(settings), view))
    try:
        async with asyncio.timeout(30):
            while COUNTS[topics.state] < len(strangers) + 1:
                await view.reached(view.position)
            # whether it is hidden is not known before the coordinator has told it again
            assert not view.caught_up.is_set()
            good = record("campaign:a", State.EXPIRED, 1)
            await producer.commit([Record(topics.state, b"campaign:a", good)])
            await view.caught_up.wait()
        assert [one.source for one in view] == ["campaign:a"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.close()

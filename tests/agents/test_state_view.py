"""What lifecycle.state says, as it is read."""

import asyncio

import pytest

from agents.state_view import StateView, follow
from agents.topic_reader import read_table
from schemas import codec
from schemas.errors import Fatal
from schemas.lifecycle import WORKING, SourceState, State
from streams.settings import Settings
from streams.step import Record, StepProducer
from streams.topics import Topics


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
        view.apply(None, record(f"campaign:{name}", state, 1))
    assert [one.source for one in view] == ["campaign:a", "campaign:b", "campaign:c"]
    assert [one.source for one in view.in_states(WORKING)] == ["campaign:b", "campaign:c"]


async def test_waiters_wake() -> None:
    view = StateView()
    waits = asyncio.gather(view.reached(4), view.changed(0))
    view.apply(None, record("campaign:a", State.ACTIVE, 1))
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
    task = asyncio.create_task(follow(settings, view))
    try:
        async with asyncio.timeout(30):
            await view.caught_up.wait()
            assert view.get("campaign:a") is not None
            second = Record(topics.state, b"campaign:a", record("campaign:a", State.STOPPED, 2))
            (offset,) = await producer.commit([second])
            await view.reached(offset)
            found = view.get("campaign:a")
            assert found is not None
            assert found.state is State.STOPPED
            await producer.commit([Record(topics.state, b"campaign:a", b"garbage")])
            refusal = rf"{topics.state}\[0\] offset \d+, campaign:a: .*Only the coordinator"
            with pytest.raises(Fatal, match=refusal):
                await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.close()


@pytest.mark.connected
async def test_what_no_source_says_is_left_out_and_a_damaged_source_is_refused(
    settings: Settings, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    producer = StepProducer(settings, f"{settings.prefix}writer")
    await producer.start()
    good = record("campaign:a", State.EXPIRED, 1)
    strangers = [
        (b"\xff", b"x"),
        (b"hello", b""),
        (b"campaign:\xff", b"x"),
    ]
    try:
        for key, value in [(b"campaign:a", b"damaged"), *strangers, (b"campaign:a", good)]:
            await producer.commit([Record(topics.state, key, value)])
        view = StateView()
        task = asyncio.create_task(follow(settings, view))
        caught_up = asyncio.create_task(view.caught_up.wait())
        async with asyncio.timeout(30):
            await asyncio.wait({task, caught_up}, return_when=asyncio.FIRST_COMPLETED)
        assert caught_up.done()
        assert [one.source for one in view] == ["campaign:a"]
        warned = [text for text in caplog.messages if "left out" in text]
        assert len(warned) == len(strangers)
        assert all(text.startswith(f"{topics.state}[0] offset ") for text in warned)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert list(await read_table(settings, topics.state, "state")) == ["campaign:a"]
        await producer.commit([Record(topics.state, b"campaign:a", b"damaged")])
        with pytest.raises(Fatal, match="write the source's former record again"):
            await asyncio.wait_for(follow(settings, StateView()), 30)
        with pytest.raises(Fatal, match=r"offset \d+, campaign:a"):
            await read_table(settings, topics.state, "state")
    finally:
        await producer.close()

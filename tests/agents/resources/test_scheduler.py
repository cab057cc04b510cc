import asyncio

import pytest

from agents.resources import scheduler as scheduling
from agents.resources.scheduler import Scheduler
from streams.clock import ManualClock


async def at_once(pieces: Scheduler, wanted: int) -> int:
    """How many pieces of lifecycle work have begun, of so many, before any of them ends."""
    begun, go_on = 0, asyncio.Event()

    async def piece() -> None:
        nonlocal begun
        ours = False
        while not ours:
            async with pieces.lifecycle() as ours:
                if ours:
                    begun += 1
                    await go_on.wait()

    tasks = [asyncio.create_task(piece()) for _ in range(wanted)]
    for _ in range(10):
        await asyncio.sleep(0)
    together = begun
    go_on.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert begun == wanted
    return together


async def test_ingest_does_not_wait_where_nothing_is_asked() -> None:
    async with asyncio.timeout(10):
        await Scheduler().gather()


async def test_ingest_waits_for_more_until_the_question_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduling, "_GATHER_S", 60.0)
    monkeypatch.setattr(scheduling, "_PIECES_S", 0.01)
    here = Scheduler()
    with here.asking():
        assert here.asked
        gathering = asyncio.create_task(here.gather())
        await asyncio.sleep(0)
        assert not gathering.done()
    # between two pieces of one answer it is still being answered
    await asyncio.sleep(0)
    assert here.asked
    with here.asking():
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await gathering
    assert not here.asked


async def test_ingest_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_GATHER_S", 0.01)
    here = Scheduler()
    with here.asking():
        async with asyncio.timeout(10):
            await here.gather()
        assert here.asked


async def test_lifecycle_work_takes_turns_while_events_come() -> None:
    here = Scheduler()
    assert await at_once(here, 3) == 3
    here.events_came(load=False)
    assert await at_once(here, 3) == 1


async def test_a_long_wait_for_a_turn_ends_with_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_TURN_S", 0.0)
    here = Scheduler()
    here.events_came(load=False)
    async with here.lifecycle() as ours:
        assert ours
        async with here.lifecycle() as others:
            assert not others
    # a turn that was waited for in vain was not taken
    async with here.lifecycle() as ours:
        assert ours


async def test_a_question_that_fails_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_PIECES_S", 0.0)
    here = Scheduler()
    with pytest.raises(ValueError, match="no"), here.asking():
        raise ValueError("no")
    async with asyncio.timeout(10):
        await here.gather()
    assert not here.asked


def test_ingest_keeps_up_unless_events_wait() -> None:
    here = Scheduler()
    assert here.keeping_up(60.0)
    here.events_came(load=False)
    assert here.keeping_up(60.0)
    here.events_came(load=True)
    assert not here.keeping_up(60.0)
    # what waits for ingest waits no longer than it says
    assert here.keeping_up(0.0)


def test_a_load_is_over_when_none_comes_any_more() -> None:
    clock = ManualClock()
    here = Scheduler(clock)
    here.events_came(load=True)
    clock.advance(900)
    here.events_came(load=True)
    clock.advance(900)
    assert not here.keeping_up(60.0)
    assert here.keeping_up(1.5)
    clock.advance(200)
    assert here.keeping_up(60.0)
    here.events_came(load=True)
    # another load: its time begins anew
    assert not here.keeping_up(1.5)


def test_what_can_wait_waits_no_longer_than_it_must() -> None:
    clock = ManualClock()
    here = Scheduler(clock)
    assert here.leaves_room(60.0)
    for _ in range(118):
        clock.advance(500)
        here.events_came(load=True)
        assert not here.leaves_room(60.0)
    clock.advance(1_500)
    here.events_came(load=True)
    assert here.leaves_room(60.0)
    # a pause, and everything begins anew
    clock.advance(1_500)
    assert here.leaves_room(60.0)
    here.events_came(load=True)
    assert not here.leaves_room(60.0)


async def test_questions_without_end_put_it_off_as_long() -> None:
    clock = ManualClock()
    here = Scheduler(clock)
    with here.asking():
        assert not here.leaves_room(60.0)
        clock.advance(30_000)
        here.events_came(load=False)
        assert not here.leaves_room(60.0)
        clock.advance(30_000)
        assert here.leaves_room(60.0)

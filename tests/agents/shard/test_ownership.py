import asyncio

import pytest

from agents.shard import ownership as module
from agents.shard.ownership import STILL_S, Ownership
from agents.shard.protocol import NotHeld
from streams.group.membership import SESSION_S


class Watch:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_process_that_was_suspended_doubts_once() -> None:
    watch = Watch()
    ownership = Ownership(watch)
    before = ownership.doubts()
    watch.now += STILL_S / 2
    assert ownership.doubts() == before
    watch.now += STILL_S + 0.1
    assert ownership.doubts() == before + 1
    assert ownership.doubts() == before + 1


def test_a_group_that_was_silent_too_long_is_a_doubt() -> None:
    ownership = Ownership(Watch())
    lapses = 0
    ownership.lapses = lambda: lapses
    before = ownership.doubts()
    lapses = 1
    assert ownership.doubts() == before + 1
    assert ownership.doubts() == before + 1


def test_out_of_touch_nothing_is_held() -> None:
    ownership = Ownership(Watch())
    ownership.check()
    ownership.silent_s = lambda: SESSION_S
    with pytest.raises(NotHeld, match="not acknowledged"):
        ownership.check()


async def test_who_waits_learns_of_a_doubt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 60.0)
    ownership = Ownership(Watch())
    seen = ownership.doubts()
    waiting = [asyncio.create_task(ownership.doubted(seen)) for _ in range(3)]
    await asyncio.sleep(0)
    ownership.doubt()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [seen + 1] * 3

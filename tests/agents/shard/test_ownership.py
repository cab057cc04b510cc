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


async def test_a_takeover_waits_until_the_group_acknowledges_the_worker(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOUCH_S", 0.0)
    silent_s = SESSION_S
    ownership = Ownership(Watch())
    ownership.silent_s = lambda: silent_s
    waiting = asyncio.create_task(ownership.acknowledged("shard 7"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    silent_s = SESSION_S - 0.1
    async with asyncio.timeout(10):
        await waiting
        await ownership.acknowledged("shard 8")
    assert [one.getMessage() for one in caplog.records] == [
        "shard 7 waits for the group: another worker may run it"
    ]


async def test_who_waits_learns_of_a_doubt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 60.0)
    ownership = Ownership(Watch())
    seen = ownership.doubts()
    waiting = [asyncio.create_task(ownership.doubted(seen)) for _ in range(3)]
    await asyncio.sleep(0)
    ownership.doubt()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [seen + 1] * 3

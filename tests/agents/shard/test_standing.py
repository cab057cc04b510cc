import asyncio

import pytest

from agents.shard import standing as module
from agents.shard.protocol import NotHeld
from agents.shard.standing import STILL_S, Standing
from streams.group.membership import SESSION_S


class Watch:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_process_that_stood_still_doubts_once() -> None:
    watch = Watch()
    standing = Standing(watch)
    before = standing.doubts()
    watch.now += STILL_S / 2
    assert standing.doubts() == before
    watch.now += STILL_S + 0.1
    assert standing.doubts() == before + 1
    assert standing.doubts() == before + 1


def test_a_group_that_was_silent_too_long_is_a_doubt() -> None:
    standing = Standing(Watch())
    lapses = 0
    standing.lapses = lambda: lapses
    before = standing.doubts()
    lapses = 1
    assert standing.doubts() == before + 1
    assert standing.doubts() == before + 1


def test_out_of_touch_nothing_is_held() -> None:
    standing = Standing(Watch())
    standing.check()
    standing.silent_s = lambda: SESSION_S
    with pytest.raises(NotHeld, match="not acknowledged"):
        standing.check()


async def test_who_waits_learns_of_a_doubt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 60.0)
    standing = Standing(Watch())
    seen = standing.doubts()
    waiting = [asyncio.create_task(standing.doubted(seen)) for _ in range(3)]
    await asyncio.sleep(0)
    standing.doubt()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [seen + 1] * 3

"""A shard that crashes again and again while it erases users: each step is done or not done."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from agents.resources.budget import Budget
from agents.shard.jobs.unmerge import Unmerge
from agents.shard.shard import Shard
from agents.views.state_view import StateView
from schemas.errors import Recoverable
from schemas.records.lifecycle import State
from streams import erasure_key
from streams.kafka.environment import Environment
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Log, LogWriter, Record, StepFailed
from streams.settings import Settings
from streams.state import keys
from streams.state.state_store import shared_cache
from tests.rigs.erasing import alone, cleaned, erasing, order, send_users, traces_of, users_of
from tests.rigs.shard import START, A, B, Stand, events, start

pytestmark = pytest.mark.connected
__all__ = ["alone", "erasing"]

GONE, KEPT, OTHER = f"{7:024x}", f"{14:024x}", f"{999:024x}"
MOST_LIVES = 60
NOTHING_CHANGES = {kind.decode() for kind in (keys.FENCE, keys.ORIGIN, keys.CURSOR)}


@dataclass
class Crash:
    """A life ends in its first step that changes what the shard has stored: before its commit, or
    after it. Takeovers and reports change nothing, so each step is met, however they are grouped.
    """

    before: bool
    step: frozenset[str] | None = None
    """The step in which it ended: the letters of its keys (`streams/state/keys.py`)."""


class CrashingWriter:
    def __init__(self, inner: LogWriter, crash: Crash) -> None:
        self._inner, self._crash = inner, crash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, records: Sequence[Record], **named: Any) -> list[int]:
        stored = [one for one in records if one.topic.endswith(".changelog")]
        changed = {keys.kind(one.key or b"").decode() for one in stored}
        changed |= {"archive"} if named.get("first") else set()
        if self._crash.step is not None:
            raise StepFailed("crashed already")
        if not changed - NOTHING_CHANGES:
            return await self._inner.commit(records, **named)
        self._crash.step = frozenset(changed)
        if self._crash.before:
            raise StepFailed("crashed before the commit")
        await self._inner.commit(records, **named)
        raise StepFailed("crashed after the commit")


class CrashingLog:
    def __init__(self, inner: Log, crash: Crash) -> None:
        self._inner, self._crash = inner, crash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def writer(self, name: str) -> Any:
        return CrashingWriter(self._inner.writer(name), self._crash)


async def live(settings: Settings, view: StateView, crash: Crash) -> Stand:
    """A shard that will crash. It is ready, or has crashed before."""

    async def deliver(shard: Shard, fetched: object) -> None:
        await shard.offer(fetched)

    log: Any = CrashingLog(KafkaLog(settings), crash)
    environment = Environment(settings, log)
    shard = Shard(environment, 0, view, shared_cache(8 << 20), Budget(settings, 1), deliver)
    stand = Stand(settings, view, shard, asyncio.create_task(shard.run()))
    async with asyncio.timeout(60):
        while not shard.ready:
            if stand.task.done():
                break
            await asyncio.sleep(0.01)
    return stand


@pytest.mark.timeout(300)
async def test_crashes_between_all_steps_leave_nothing_and_lose_nothing(erasing: Settings) -> None:
    stand = await start(erasing)
    await send_users(stand, {OTHER: {"merged_into": GONE}, KEPT: {"merged_into": OTHER}})
    await stand.send(events(900), 0)
    await stand.tell(A, State.EXPIRING, 2)
    await stand.applied(A, 2)
    kept = {key: row for key, row in (await stand.rows(B)).items() if key[1] != GONE}
    archived = sum(e.rows for e in stand.shard._store.table.manifest[A].values())
    gone = (await traces_of(stand, GONE)).archive
    assert (await traces_of(stand, GONE)).merged == 1
    await stand.stop()
    view = stand.view
    order(erasing, view, "one", [GONE], START)
    assert gone > 0
    crashes: list[Crash] = []
    for life in range(MOST_LIVES):
        crash = Crash(before=life % 2 == 0)
        stand = await live(erasing, view, crash)
        if not stand.task.done() and stand.shard._store.table.erasures:
            # hidden from the first step on, whatever has been removed
            with suppress(Recoverable):
                assert GONE not in await users_of(stand, B)
        done = asyncio.create_task(cleaned(stand))
        await asyncio.wait([done, stand.task], return_when=asyncio.FIRST_COMPLETED)
        over = not stand.task.done()
        done.cancel()
        await asyncio.gather(done, return_exceptions=True)
        await stand.stop()
        if over:
            break
        crashes.append(crash)
    else:
        raise AssertionError(f"not over after {MOST_LIVES} lives")
    assert len(crashes) > 3, "it has crashed too seldom to say anything"
    for before in (True, False):
        steps = [crash.step for crash in crashes if crash.before == before]
        assert any("g" in step for step in steps if step), "not around the step that hides"
        assert any("archive" in step for step in steps if step), "not around one of the archive"
        assert steps.count(frozenset("z")) >= 2, "not around those that note what is done"
        assert frozenset("rj") in steps, "not around the one that changes another user's record"
    stand = await start(erasing, view)
    try:
        assert (await traces_of(stand, GONE)).rows == 0
        # counted once, however often it crashed; the user is in no answer, and others are as before
        assert stand.shard._store.table.erasures["one"].merges == 1
        merges = await stand.shard.merges("none")
        assert merges is not None
        assert merges.frame.to_dicts() == [{"user": KEPT, "into": OTHER}]
        # who is asked for may not have been read yet: then nothing is said to be done
        key = erasure_key.erasure_key(erasing)
        assert key is not None
        assert not await Unmerge(stand.shard._context).step(key, ["not read yet"])
        assert await stand.rows(B) == kept
        left = sum(e.rows for e in stand.shard._store.table.manifest[A].values())
        assert left == archived - gone
        await stand.tell(A, State.RESTORING, 3)
        await stand.applied(A, 3)
        await stand.tell(A, State.STOPPED, 4)
        assert GONE not in await users_of(stand, A, 4)
        assert KEPT in await users_of(stand, A, 4)
    finally:
        await stand.stop()

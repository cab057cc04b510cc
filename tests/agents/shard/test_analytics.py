"""Figures of a source on a real shard: the same bytes before, during and after an expiry, and after
the restore.
"""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from functools import partial
from itertools import count
from typing import Any

import pytest

from agents.shard import analytics
from agents.shard.analytics import Figures, pack
from agents.shard.jobs import expire
from agents.shard.jobs.expire import Expire
from agents.shard.jobs.loop import WorkLoop
from schemas.records.lifecycle import State
from streams.settings import Settings
from tests.rigs.shard import START, A, Event, Stand, alone, start

__all__ = ["alone"]

pytestmark = pytest.mark.connected

DAY_MS = 86_400_000


@pytest.fixture
async def stand(alone: Settings) -> AsyncIterator[Stand]:
    opened = await start(alone)
    yield opened
    await opened.stop()


def made(number: int, seed: int = 0) -> list[Event]:
    """Sends, opens by people and machines, and conversions of one campaign, on three days."""
    events: list[Event] = []
    for n in range(number):
        event: dict[str, Any] = {
            "id": f"{seed}-{n}",
            "user_id": f"{(n * 7 + seed) % 331:024x}",
            "time": START + n % 3 * DAY_MS + n,
            "campaign_id": "a" if n % 5 else "b",
            "message_variation_id": f"v{n % 2}",
        }
        match n % 4:
            case 0:
                events.append(("open", event | {"channel": "EMAIL", "machine_open": n % 8 == 0}))
            case 1:
                events.append(("conversion", event | {"conversion_behavior_index": n % 3}))
            case _:
                events.append(("send", event | {"channel": "PUSH" if n % 2 else "EMAIL"}))
    return events


def expected(events: Iterable[Event]) -> tuple[Counter[Any], dict[Any, int]]:
    totals: Counter[Any] = Counter()
    users = defaultdict(set)
    for name, event in events:
        if event["campaign_id"] != "a":
            continue
        kind = {"open": "opened", "send": "received", "conversion": "converted"}[name]
        if event.get("machine_open"):
            kind = "machine_opened"
        detail = None
        if name == "conversion":
            detail = str(event["conversion_behavior_index"])
        sort = (kind, event.get("channel"), None, event["message_variation_id"])
        totals[(event["time"] // DAY_MS, *sort, detail)] += 1
        users[sort].add(event["user_id"])
    return totals, {sort: len(found) for sort, found in users.items()}


async def figures(stand: Stand) -> Figures:
    return await stand.shard.analytics(A)


def in_bytes(found: Figures) -> bytes:
    """As an answer would have them: in an order that does not depend on the storage."""
    parts = [sorted(map(json.dumps, rows)) for rows in (found.totals, found.uniques)]
    return json.dumps(parts).encode()


async def test_the_figures_are_those_of_the_events(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = made(1000)
    await stand.send(events, 0)
    found = await figures(stand)
    totals, users = expected(events)
    assert {tuple(row[:-1]): row[-1] for row in found.totals} == totals
    assert {tuple(row[:-1]): row[-1] for row in found.uniques} == users
    await stand.shard._context.flush()
    assert len(stand.shard._store.table.by_source[A]) > 1
    for most in (analytics._CHUNK_BYTES, 1):
        monkeypatch.setattr(analytics, "_CHUNK_BYTES", most)
        assert in_bytes(await figures(stand)) == in_bytes(found)


@pytest.mark.parametrize("limit", [800_000, 40])
async def test_no_byte_changes_with_an_expiry_and_a_restore(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(expire, "pack", partial(pack, limit=limit))
    await stand.send(made(1000), 0)
    before = in_bytes(await figures(stand))
    seen = set()
    for version, state in ((1, State.EXPIRING), (3, State.RESTORING), (5, State.EXPIRING)):
        await stand.tell(A, state, version)
        while not _applied(stand, version):
            assert in_bytes(await figures(stand)) == before
            seen.add(A in stand.shard._store.table.uniques)
            if stand.task.done():
                stand.task.result()
        assert in_bytes(await figures(stand)) == before
        assert (A in stand.shard._store.table.uniques) == (state is State.EXPIRING)
        if state is State.EXPIRING:
            assert (stand.shard._store.table.uniques[A] > 1) == (limit == 40)
        left = list(stand.shard._store.state_store.items(b"p/"))
        assert bool(left) == (state is State.EXPIRING and limit == 40)
    await stand.tell(A, State.EXPIRED, 6)
    assert in_bytes(await figures(stand)) == before
    assert seen == {False, True}
    await stand.stop()
    again = await start(stand.settings, stand.view)
    try:
        assert in_bytes(await figures(again)) == before
    finally:
        await again.stop()


def _applied(stand: Stand, version: int) -> bool:
    done = stand.shard._store.table.applied.get(A)
    return done is not None and done.version >= version


async def test_whichever_step_of_an_expiry_is_the_last_the_figures_stand(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(self: WorkLoop) -> bool:
        return False

    # all work is this test's own: a shard does one piece of it at a time
    monkeypatch.setattr(WorkLoop, "_once", nothing)
    for seed in range(3):
        await stand.send(made(150, seed), seed * 150)
        if seed < 2:
            await stand.shard._context.flush()
    before = in_bytes(await figures(stand))
    await stand.tell(A, State.EXPIRING, 1)
    for steps in count(1):
        job = Expire(stand.shard._context, {A: (1, 1)})
        done = not all([await job.step() for _ in range(steps)])
        assert in_bytes(await figures(stand)) == before
        if done:
            break
    assert steps > 2
    assert A not in stand.shard._store.table.by_source


async def test_users_who_come_while_a_source_expires_count_until_the_numbers_are_stored(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reader has seen does not go back: neither the rows that stay as late ones, nor those
    that a flush meanwhile has put among the ones that go.
    """

    async def nothing(self: WorkLoop) -> bool:
        return False

    # all work is this test's own: a shard does one piece of it at a time
    monkeypatch.setattr(WorkLoop, "_once", nothing)
    await stand.send(made(150), 0)
    await stand.tell(A, State.EXPIRING, 1)
    job = Expire(stand.shard._context, {A: (1, 1)})
    await job.step()
    for seed in (500, 600):
        await stand.shard._context.flush()
        await stand.send(made(10, seed), 150 if seed == 500 else 160)
    before = in_bytes(await figures(stand))
    while A not in stand.shard._store.table.uniques:
        await job.step()
        assert in_bytes(await figures(stand)) == before


async def test_late_events_count_in_totals_only_until_the_restore(stand: Stand) -> None:
    events = made(400)
    await stand.send(events, 0)
    await stand.tell(A, State.EXPIRING, 1)
    await stand.applied(A, 1)
    await stand.tell(A, State.EXPIRED, 2)
    late = made(100, seed=1000)
    await stand.send(late, 400)
    found = await figures(stand)
    assert {tuple(row[:-1]): row[-1] for row in found.totals} == expected([*events, *late])[0]
    assert {tuple(row[:-1]): row[-1] for row in found.uniques} == expected(events)[1]
    await stand.tell(A, State.RESTORING, 3)
    await stand.applied(A, 3)
    found = await figures(stand)
    assert {tuple(row[:-1]): row[-1] for row in found.uniques} == expected([*events, *late])[1]


async def test_a_restore_given_up_half_way_keeps_the_numbers(stand: Stand) -> None:
    await stand.send(made(600), 0)
    before = in_bytes(await figures(stand))
    await stand.tell(A, State.EXPIRING, 1)
    await stand.applied(A, 1)
    await stand.tell(A, State.RESTORING, 3)
    await stand.until(lambda: A in stand.shard._store.table.by_source)
    await stand.tell(A, State.EXPIRING, 4)
    await stand.applied(A, 4)
    assert in_bytes(await figures(stand)) == before

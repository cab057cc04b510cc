"""A shard erases users: hidden at once, removed from everything it has stored, never back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agents.shard.traces import Traces, traces
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from schemas.records.lifecycle import State
from streams import erasure_key
from streams.settings import Settings
from tests.rigs.shard import SMALL, START, A, B, Stand, alone, events, start

pytestmark = pytest.mark.connected
__all__ = ["alone"]

GONE, KEPT = f"{7:024x}", f"{14:024x}"


@pytest.fixture
def erasing(alone: Settings, tmp_path: Path) -> Settings:
    file = tmp_path / "erasure.key"
    erasure_key.make(file)
    return replace(alone, erasure_key_file=file)


async def erase(stand: Stand, request_id: str, users: Sequence[str], at: int) -> None:
    """As the coordinator asks for it; returns once the users are hidden."""
    key = erasure_key.erasure_key(stand.settings)
    assert key is not None
    order = {"time": at, "users": len(users), "orders": {"0": key.sealed(users, 1)}}
    stand.view.erasures.apply(f"e/{request_id}".encode(), json.dumps(order).encode())
    stand.view.erasures.caught_up = True
    await stand.view.asked()
    await stand.until(lambda: request_id in stand.shard._store.table.erasures)


async def cleaned(stand: Stand) -> None:
    """Until nothing of erased users is left to be removed."""

    def done() -> bool:
        table = stand.shard._store.table
        marks = table.erasure_marks
        generation = table.mask.generation
        return (
            marks is not None
            and marks.hot == generation == table.archive_clean
            and not marks.dead
            and stand.shard._work._indexer.is_clean()
        )

    await stand.until(done)


async def traces_of(stand: Stand, user: str) -> Traces:
    return await traces(stand.shard._context, stand.shard._users, user)


async def users_of(stand: Stand, source: str, version: int | None = None) -> set[str]:
    return {key[1] for key in await stand.rows(source, version)}


async def test_a_hot_user_is_hidden_at_once_and_then_removed_from_everything(
    erasing: Settings,
) -> None:
    stand = await start(erasing)
    try:
        await stand.send(events(900), 0)
        assert GONE in await users_of(stand, A)
        before = await traces_of(stand, KEPT)
        assert (await traces_of(stand, GONE)).rows > 0
        await erase(stand, "one", [GONE, "unknown"], START)
        for source in (A, B, SMALL):
            assert GONE not in await users_of(stand, source)
        assert not (await stand.shard.read_users([GONE]))[GONE].rows.height
        await cleaned(stand)
        after = await traces_of(stand, GONE)
        assert after.rows == 0, after
        assert (await traces_of(stand, KEPT)).rows >= before.segments
        assert KEPT in await users_of(stand, A)
        # what comes later of the user is not stored
        late = [(kind, {**event, "user_id": GONE}) for kind, event in events(300, seed=5)]
        await stand.send(late, 900)
        assert (await traces_of(stand, GONE)).rows == 0
        assert GONE not in await users_of(stand, A)
    finally:
        await stand.stop()


async def test_an_archived_user_never_comes_back_by_a_restore(erasing: Settings) -> None:
    stand = await start(erasing)
    try:
        await stand.send(events(900), 0)
        await stand.tell(A, State.EXPIRING, 2)
        await stand.applied(A, 2)
        assert (await traces_of(stand, GONE)).archive > 0
        await erase(stand, "one", [GONE], START)
        # the restore may come before the archive is clean
        await stand.tell(A, State.RESTORING, 3)
        await stand.applied(A, 3)
        await stand.tell(A, State.STOPPED, 4)
        users = await users_of(stand, A, 4)
        assert GONE not in users
        assert KEPT in users
        await cleaned(stand)
        assert (await traces_of(stand, GONE)).rows == 0
        # and the same after it expired and was restored again
        await stand.tell(A, State.EXPIRING, 5, 2)
        await stand.applied(A, 5)
        await stand.tell(A, State.RESTORING, 6, 2)
        await stand.applied(A, 6)
        await stand.tell(A, State.STOPPED, 7, 2)
        assert await users_of(stand, A, 7) == users
    finally:
        await stand.stop()
    # a new owner knows it from the changelog
    again = await start(erasing, stand.view)
    try:
        assert again.shard._store.table.mask.hides(GONE)
        assert GONE not in await users_of(again, A, 7)
    finally:
        await again.stop()


async def test_a_user_who_comes_back_has_what_comes_then_and_nothing_from_before(
    erasing: Settings,
) -> None:
    stand = await start(erasing)
    try:
        await stand.send(events(300), 0)
        await erase(stand, "one", [GONE], START)
        record = {"user_id": GONE, "external_user_id": "back"}
        chunk = Chunk("users", [GONE.encode()], [codec.encode("user", record)])
        await publish(stand.settings, [chunk])
        await stand.until(lambda: not stand.shard._store.table.mask.hides(GONE))
        entry = stand.shard._store.table.mask.find(GONE)
        assert entry is not None
        late = [
            ("send", {"id": f"l{n}", "user_id": GONE, "time": at, "campaign_id": "a"})
            for n, at in enumerate((START, entry.returned_at - 1, entry.returned_at + 5))
        ]
        await stand.send(late, 300)
        of_user = {k: v for k, v in (await stand.rows(A)).items() if k[1] == GONE}
        assert list(of_user.values()) == [(entry.returned_at + 5, entry.returned_at + 5)]
        await cleaned(stand)
        of_user = {k: v for k, v in (await stand.rows(A)).items() if k[1] == GONE}
        assert list(of_user.values()) == [(entry.returned_at + 5, entry.returned_at + 5)]
        assert [match.user for match in await stand.shard.find_users(["back"], [])] == [GONE]
    finally:
        await stand.stop()

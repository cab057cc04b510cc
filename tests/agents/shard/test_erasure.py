"""A shard erases users: hidden at once, removed from everything it has stored, never back."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agents.shard.ingest import IngestLoop
from agents.shard.jobs import context
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from schemas.records.lifecycle import State
from streams.settings import Settings
from streams.state import archive
from streams.state.auxiliary_table import ROSTER
from tests.rigs.erasing import alone, cleaned, erase, erasing, over, traces_of, users_of
from tests.rigs.shard import SMALL, START, A, B, Event, Stand, events, start

pytestmark = pytest.mark.connected
__all__ = ["alone", "erasing"]

GONE, KEPT = f"{7:024x}", f"{14:024x}"


def _feed_view(user: str) -> Event:
    return "signal", {
        "id": f"view-{user}", "user_id": user, "time": START, "signal_type": "FEED_VIEW"
    }  # fmt: skip


async def test_a_hot_user_is_hidden_at_once_and_then_removed_from_everything(
    erasing: Settings,
) -> None:
    stand = await start(erasing)
    try:
        await stand.send([*events(898), *(_feed_view(user) for user in (GONE, KEPT))], 0)
        assert GONE in await users_of(stand, A)
        store = stand.shard._store
        await stand.shard._users.index(list(store.table.segments.values()), store.state_store)
        before = await traces_of(stand, KEPT)
        there = await traces_of(stand, GONE)
        assert there.index > 0
        assert there.segments > 0
        await erase(stand, "one", [GONE, "unknown"], START)
        for source in (A, B, SMALL):
            assert GONE not in await users_of(stand, source)
        assert not (await stand.shard.read_users([GONE]))[GONE].rows.height
        profiles = (await stand.shard.users([GONE, KEPT])).facts
        assert [profiles[user].feed_views for user in (GONE, KEPT)] == [0, 1]
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


async def test_a_user_comes_back_once_though_records_wait_for_the_same_step(
    erasing: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parts wait for a commit while their user is erased; each has a record of the user (seed
    611 of the simulation).
    """
    held, free = asyncio.Event(), asyncio.Event()
    commit_parts = IngestLoop._commit_parts

    async def hesitating(self: IngestLoop, *arguments: Any) -> None:
        held.set()
        await free.wait()
        await commit_parts(self, *arguments)

    stand = await start(erasing)
    try:
        await stand.send(events(20), 0)
        monkeypatch.setattr(IngestLoop, "_commit_parts", hesitating)
        await publish(stand.settings, [Chunk("users", [KEPT.encode()], [None])])
        await held.wait()
        laid = stand.shard._ingest._laid
        for number in (1, 2):
            value = codec.encode("user", {"user_id": GONE, "external_user_id": f"{number}"})
            await publish(stand.settings, [Chunk("users", [GONE.encode()], [value])])
            await stand.until(lambda number=number: laid.qsize() == number)  # type: ignore[misc]
        await erase(stand, "one", [GONE], START)
        free.set()
        await stand.until(lambda: not stand.shard._store.table.mask.hides(GONE))
        await stand.until(lambda: not laid.qsize())
        await stand.until(lambda: len(_records_of(stand, GONE)) == 2)
        entry = stand.shard._store.table.mask.find(GONE)
        assert entry is not None
        assert entry.returned_from == min(_records_of(stand, GONE))
    finally:
        await stand.stop()


def _records_of(stand: Stand, user: str) -> list[int]:
    """The sequences of the roster's records of a user that no run has yet."""
    frames = stand.shard._store.table.auxiliary[ROSTER.delta].values()
    return [n for frame in frames for n in frame.filter(user=user)["sequence"].to_list()]


async def test_a_pass_over_the_archive_ends_while_more_requests_keep_coming(
    erasing: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share the next pass: if they joined this one, it would never end."""
    copied: list[str] = []
    append = archive.append

    def noted(*given: Any) -> Any:
        copied.append(given[2].id)
        return append(*given)

    monkeypatch.setattr(context, "_WORK_BYTES", 1)  # a segment a step
    stand = await start(replace(erasing, segment_rows=30, own_rows=30))
    try:
        await stand.send(events(900), 0)
        await stand.tell(A, State.EXPIRING, 2)
        await stand.applied(A, 2)
        table = stand.shard._store.table
        most = 5 * len(table.manifest[A])
        monkeypatch.setattr(archive, "append", noted)

        def ended() -> bool:
            """The first request has nothing left, and nothing of it is left in the log."""
            marks = table.erasure_marks
            return table.archive_clean > 0 and marks is not None and not marks.dead

        users: list[str] = []
        while not ended():
            assert len(users) < most, "the first pass does not end"
            users.append(f"{7 + len(users):024x}")
            count = len(copied)
            await erase(stand, f"r-{len(users)}", users[-1:], START)
            await stand.until(lambda count=count: len(copied) > count or ended())  # type: ignore[misc]
        await cleaned(stand)
        for user in (users[0], users[-1]):
            assert (await traces_of(stand, user)).rows == 0
    finally:
        await stand.stop()


async def hold(stand: Stand, source: str, version: int, *, held: bool) -> None:
    """Somebody holds a source, or releases it."""
    record: dict[str, Any] = {"source": source, "state": "HELD" if held else "ACTIVE"}
    record |= {"version": version}
    record |= {"held": {"by": "ops", "reason": None, "since": START} if held else None}
    stand.view.apply(source.encode(), codec.encode("state", {**record, "updated_at": START}))
    await stand.view.advance(version)


async def test_a_held_source_keeps_its_rows_hidden_until_it_is_released(erasing: Settings) -> None:
    stand = await start(erasing)
    try:
        await stand.send(events(900), 0)
        await hold(stand, B, 1, held=True)
        await erase(stand, "one", [GONE], START)

        def told() -> bool:
            item = stand.shard._work._erasures._told.get("one")
            return item is not None and item.held == (B,) and not item.done

        await stand.until(told)
        await stand.until(lambda: bool(stand.shard._work._kept))
        found = await traces_of(stand, GONE)
        assert found.segments > 0
        assert GONE not in await users_of(stand, B, 1)
        # what comes meanwhile does not bring it back by a merge
        await stand.send(events(600, seed=3), 900)
        assert GONE not in await users_of(stand, B, 1)
        assert (await traces_of(stand, GONE)).segments > 0
        await hold(stand, B, 2, held=False)
        await cleaned(stand)
        assert (await traces_of(stand, GONE)).rows == 0
        # an order that is read again after its end erases nobody who has come back since
        await over(stand, "one")
        entry = stand.shard._store.table.mask.find(GONE)
        await erase(stand, "one", [GONE], START)
        assert stand.shard._store.table.mask.find(GONE) == entry
        assert stand.shard._store.table.mask.generation == 1
    finally:
        await stand.stop()

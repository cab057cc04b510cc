"""Users' rows from a running shard: correct before, while and after the index is built."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.shard.jobs import indexer
from agents.shard.user_read import MOST_USERS, UserRows
from agents.supervision.shard_manager import NotHeld
from agents.tools.oracle import Interactions, expect
from schemas.records.lifecycle import State
from schemas.tables.interaction import KEY
from schemas.tables.profile import PROFILE
from streams.settings import Settings
from tests.rigs.shard import SMALL, A, Stand, alone, events, start

__all__ = ["alone"]

pytestmark = pytest.mark.connected

USERS = [f"{number:024x}" for number in range(0, 331, 30)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every segment is due for the index as soon as it is there."""
    monkeypatch.setattr(indexer, "_DUE_AGE_MS", 0)


@pytest.fixture
async def stand(alone: Settings) -> AsyncIterator[Stand]:
    opened = await start(alone)
    yield opened
    await opened.stop()


def of_sources(answers: dict[str, UserRows]) -> Interactions:
    """Rows of all the users, but for the profile-wide ones."""
    found: Interactions = {}
    for answer in answers.values():
        for *key, first, last in answer.rows.select(*KEY, "first", "last").iter_rows():
            if key[0] != PROFILE:
                found[tuple(key)] = (first, last)
    return found


def expected(sent: Interactions, hidden: frozenset[str] = frozenset()) -> Interactions:
    return {key: at for key, at in sent.items() if key[1] in USERS and key[0] not in hidden}


async def indexed(stand: Stand) -> None:
    table, users = stand.shard._store.table, stand.shard._users
    await stand.until(lambda: bool(table.segments) and not users.uncovered(table))


async def test_users_are_read_from_deltas_segments_and_index_alike(stand: Stand) -> None:
    sent = events(1100)
    await stand.send(sent, 0)
    assert of_sources(await stand.shard.read_users(USERS)) == expected(expect(sent))
    await indexed(stand)
    answers = await stand.shard.read_users([*USERS, "nobody"])
    assert of_sources(answers) == expected(expect(sent))
    assert not answers["nobody"].rows.height
    assert stand.shard._users.runs
    for user in USERS:
        alone = (await stand.shard.read_users([user]))[user]
        assert of_sources({user: alone}) == of_sources({user: answers[user]})


async def test_hidden_sources_are_masked_and_come_back_whole(stand: Stand) -> None:
    sent = events(1100)
    await stand.send(sent, 0)
    await indexed(stand)
    for source in (A, SMALL):
        await stand.tell(source, State.EXPIRING, 5)
    hidden = frozenset({A, SMALL})
    answers = await stand.shard.read_users(USERS)
    assert of_sources(answers) == expected(expect(sent), hidden)
    masked = sum(sum(answer.hidden.values()) for answer in answers.values())
    assert masked == len(expected(expect(sent))) - len(expected(expect(sent), hidden))
    for source in (A, SMALL):
        await stand.applied(source, 5)
        await stand.tell(source, State.RESTORING, 7)
    for source in (A, SMALL):
        await stand.applied(source, 7)
    assert of_sources(await stand.shard.read_users(USERS)) == expected(expect(sent), hidden)
    for source in (A, SMALL):
        await stand.tell(source, State.STOPPED, 8)
    assert of_sources(await stand.shard.read_users(USERS)) == expected(expect(sent))


async def test_profile_wide_rows_stay_the_same_while_sources_expire(stand: Stand) -> None:
    await stand.send(events(1100), 0)

    async def profile() -> Interactions:
        answers = await stand.shard.read_users(USERS)
        return {
            tuple(key): (first, last)
            for answer in answers.values()
            for *key, first, last in answer.rows.select(*KEY, "first", "last").iter_rows()
            if key[0] == PROFILE
        }

    before = await profile()
    assert before
    await stand.tell(A, State.EXPIRING, 5)
    await stand.applied(A, 5)
    assert await profile() == before
    await indexed(stand)
    assert await profile() == before


async def test_answers_are_right_at_every_moment_of_ingest_and_work(stand: Stand) -> None:
    for round_ in range(4):
        sending = asyncio.create_task(stand.send(events(500, seed=round_), 500 * round_))
        while not sending.done():
            await stand.shard.read_users(USERS)
        await sending
        sent = [event for seed in range(round_ + 1) for event in events(500, seed=seed)]
        assert of_sources(await stand.shard.read_users(USERS)) == expected(expect(sent))


async def test_the_index_is_there_again_after_a_restart(alone: Settings) -> None:
    first = await start(alone)
    sent = events(1100)
    await first.send(sent, 0)
    await indexed(first)
    covered = set(first.shard._users.covered)
    await first.stop()
    second = await start(alone)
    try:
        assert covered & second.shard._users.covered
        assert of_sources(await second.shard.read_users(USERS)) == expected(expect(sent))
    finally:
        await second.stop()


async def test_a_lost_or_damaged_index_changes_no_answer(alone: Settings) -> None:
    first = await start(alone)
    sent = events(1100)
    await first.send(sent, 0)
    await indexed(first)
    users = first.shard._users
    for run in users.runs:
        users.store.remove_blocks(run)
    async with first.shard._work._budget.scheduler.background:  # or it is built again meanwhile
        assert of_sources(await first.shard.read_users(USERS)) == expected(expect(sent))
        assert not users.covered
    await indexed(first)
    assert of_sources(await first.shard.read_users(USERS)) == expected(expect(sent))
    await first.stop()
    spoil(Path(alone.data_dir, "users-0"))
    second = await start(alone)
    try:
        assert of_sources(await second.shard.read_users(USERS)) == expected(expect(sent))
    finally:
        await second.stop()


def spoil(folder: Path) -> None:
    for file in folder.glob("*"):
        file.write_bytes(b"not a store")


async def test_a_view_behind_the_shard_gives_no_answer(alone: Settings) -> None:
    first = await start(alone)
    await first.send(events(600), 0)
    await first.tell(A, State.EXPIRING, 5)
    await first.applied(A, 5)
    await first.stop()
    second = await start(alone, caught_up=False)
    try:
        with pytest.raises(NotHeld, match="version 5 of campaign:a"):
            await second.shard.read_users(USERS)
        await second.tell(A, State.EXPIRED, 6)
        found = of_sources(await second.shard.read_users(USERS))
        assert found == expected(expect(events(600)), frozenset({A}))
    finally:
        await second.stop()


async def test_a_source_that_was_applied_and_has_no_record_gives_no_answer(alone: Settings) -> None:
    first = await start(alone)
    await first.send(events(600), 0)
    await first.tell(A, State.EXPIRING, 5)
    await first.applied(A, 5)
    await first.stop()
    second = await start(alone)  # as after somebody deleted lifecycle.state
    try:
        with pytest.raises(NotHeld, match="version 5 of campaign:a"):
            await second.shard.read_users(USERS)
    finally:
        await second.stop()


async def test_too_many_users_at_once_are_refused(stand: Stand) -> None:
    with pytest.raises(ValueError, match="at most 50"):
        await stand.shard.read_users(["u"] * (MOST_USERS + 1))

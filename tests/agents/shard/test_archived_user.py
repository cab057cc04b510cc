"""What expired sources have of a user is read in the archive: no restore is needed."""

from collections.abc import AsyncIterator

import polars as pl
import pytest

from agents.shard import archived_user
from agents.tools.oracle import Interactions, expect
from schemas.records.lifecycle import State
from schemas.tables.interaction import KEY
from streams.settings import Settings
from streams.state.hot_table import ManifestEntry
from tests.rigs.shard import SMALL, A, Stand, alone, events, start

__all__ = ["alone"]

pytestmark = pytest.mark.connected

USERS = [f"{number:024x}" for number in range(0, 331, 60)]
HIDDEN = frozenset({A, SMALL})


@pytest.fixture
async def stand(alone: Settings) -> AsyncIterator[Stand]:
    opened = await start(alone)
    yield opened
    await opened.stop()


def as_dict(rows: pl.DataFrame) -> Interactions:
    return {
        tuple(key): (first, last) for *key, first, last in rows.select(*KEY, "first", "last").rows()
    }


def of_user(sent: Interactions, user: str) -> Interactions:
    return {key: at for key, at in sent.items() if key[1] == user and key[0] in HIDDEN}


async def expired(stand: Stand) -> Interactions:
    """Both sources are expired, with events before and after it."""
    sent = events(1_100)
    await stand.send(sent, 0)
    for version, state in ((5, State.EXPIRING), (6, State.EXPIRED)):
        for source in sorted(HIDDEN):
            await stand.tell(source, state, version)
        for source in sorted(HIDDEN):
            await stand.applied(source, 5)
    late = events(300, seed=7)
    await stand.send(late, len(sent))
    return expect([*sent, *late])


@pytest.mark.parametrize("chunk", [archived_user._CHUNK_BYTES, 1])
async def test_it_is_what_the_events_were_also_the_late_ones(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(archived_user, "_CHUNK_BYTES", chunk)
    sent = await expired(stand)
    table = stand.shard._store.table
    places = [entry for source in HIDDEN for entry in table.manifest[source].values()]
    assert len(places) > 2
    for user in USERS:
        found = await stand.shard.archived_user(user)
        assert as_dict(found.rows) == of_user(sent, user)
        assert (found.sources, found.segments) == (tuple(sorted(HIDDEN)), len(places))
        assert found.bytes == sum(entry.bytes for entry in places)
    assert not (await stand.shard.archived_user("nobody")).rows.height
    assert not HIDDEN & {
        key[0] for key in as_dict((await stand.shard.users(USERS)).facts[USERS[0]].rows)
    }


async def test_what_is_restored_is_not_read_in_the_archive(stand: Stand) -> None:
    sent = await expired(stand)
    await stand.tell(A, State.RESTORING, 7)
    await stand.applied(A, 7)
    half = await stand.shard.archived_user(USERS[0])
    assert as_dict(half.rows) == of_user(sent, USERS[0]), "hidden until all shards are done"
    await stand.tell(A, State.STOPPED, 8)
    found = await stand.shard.archived_user(USERS[0])
    assert found.sources == (SMALL,)
    assert {key[0] for key in as_dict(found.rows)} <= {SMALL}


async def test_a_damaged_record_is_named_and_one_that_moved_is_read_where_it_is_now(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await expired(stand)
    user = USERS[0]
    manifest = stand.shard._store.table.manifest
    name, entry = next(iter(manifest[A].items()))
    wrong = ManifestEntry(entry.offset, entry.rows, entry.bytes, "0" * 32, entry.epoch)
    monkeypatch.setitem(manifest[A], name, wrong)
    found = await stand.shard.archived_user(user)
    ((source, line),) = found.damaged
    assert source == A
    assert f"@{entry.offset}: segment {name}" in line
    assert as_dict(found.rows).items() <= of_user(sent, user).items()

    tries: list[bool] = []

    def moved(*_: object) -> bool:
        manifest[A][name] = entry
        tries.append(True)
        return True

    monkeypatch.setattr(archived_user.ArchivedUsers, "_moved", moved)
    found = await stand.shard.archived_user(user)
    assert as_dict(found.rows) == of_user(sent, user)
    assert found.damaged == ()
    assert tries == [True]

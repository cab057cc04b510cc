"""Erasures in one shard, asked for as the coordinator does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agents.shard.traces import Traces, traces
from agents.tools.publish import Chunk, publish
from agents.views.state_view import StateView
from schemas.records import codec
from streams import erasure_key
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.shard import Stand, alone

__all__ = [
    "alone",
    "cleaned",
    "erase",
    "erasing",
    "order",
    "over",
    "send_users",
    "traces_of",
    "users_of",
]


@pytest.fixture
def erasing(alone: Settings, tmp_path: Path) -> Settings:
    """One shard, and a key to erase with."""
    file = tmp_path / "erasure.key"
    erasure_key.make(file)
    return replace(alone, erasure_key_file=file)


def order(
    settings: Settings, view: StateView, request_id: str, users: Sequence[str], at: int
) -> None:
    """What the coordinator writes to its log, read by the view."""
    key = erasure_key.erasure_key(settings)
    assert key is not None
    found = {"time": at, "users": len(users), "orders": {"0": key.sealed(users, 1)}}
    view.erasures.apply(f"e/{request_id}".encode(), json.dumps(found).encode())
    view.erasures.caught_up = True


async def send_users(stand: Stand, users: Mapping[str, Mapping[str, object]]) -> None:
    """Records of the topic users, and wait until the shard has read them."""
    keys = [user.encode() for user in users]
    values = [codec.encode("user", {"user_id": user, **users[user]}) for user in users]
    topic, table = Topics(stand.settings.prefix).users, stand.shard._store.table
    end = table.cursor.get(topic, 0) + len(users)
    await publish(stand.settings, [Chunk("users", keys, values)])
    await stand.until(lambda: table.cursor.get(topic, 0) >= end)


async def over(stand: Stand, request_id: str) -> None:
    """The request is over: its order is deleted."""
    stand.view.erasures.apply(f"e/{request_id}".encode(), None)
    await stand.view.asked()
    await stand.until(lambda: request_id not in stand.shard._store.table.erasures)


async def erase(stand: Stand, request_id: str, users: Sequence[str], at: int) -> None:
    """Ask, and wait until the users are hidden."""
    order(stand.settings, stand.view, request_id, users, at)
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
            and all(work.apart for work in table.erasures.values())
            and stand.shard._work._indexer.is_clean()
        )

    await stand.until(done)


async def traces_of(stand: Stand, user: str) -> Traces:
    return await traces(stand.shard._context, stand.shard._users, user)


async def users_of(stand: Stand, source: str, version: int | None = None) -> set[str]:
    return {key[1] for key in await stand.rows(source, version)}

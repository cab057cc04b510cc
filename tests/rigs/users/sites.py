"""Two workers with users, merged and deleted ones among them, and their events."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka import topics as topic_admin
from streams.settings import Settings, load
from tests.rigs.faults.harness import until
from tests.rigs.worker import DEADLINE_S, Process, running

__all__ = ["START", "Sites", "sites"]

START = 1_772_355_600_000
"""2026-03-01T09:00:00Z"""

DEFINITIONS: list[dict[str, Any]] = [
    {"key": "campaign:a", "status": "ACTIVE", "name": "Spring sale",
     "variations": [{"id": "v1", "name": "Red"}]},
    {"key": "campaign:b", "status": "STOPPED", "name": "Autumn"},
    {"key": "campaign:d", "status": "ACTIVE", "name": "Nobody's"},
    {"key": "canvas:c", "status": "ACTIVE", "name": "Welcome",
     "variations": [{"id": "p1", "name": "Path 1"}], "steps": [{"id": "s1", "name": "Hello"}]},
    {"key": "segment:g", "status": "ACTIVE", "name": "Got a",
     "filters": json.dumps({"filter": "received_from_campaign", "campaign": "a"})},
    {"key": "segment:h", "status": "DRAFT", "name": "Got b",
     "filters": json.dumps({"filter": "received_from_campaign", "campaign": "b"})},
]  # fmt: skip

USERS: list[tuple[str, dict[str, Any] | None]] = [
    ("u1", {"external_user_id": "ext-1", "aliases": ["one"],
            "user_aliases": [{"alias_name": "eins", "alias_label": "de"}]}),
    ("u2", {"external_user_id": "ext-old"}),
    ("u2", {"external_user_id": "ext-2"}),
    ("u3", {"external_user_id": "ext-3", "merged_into": "u1"}),
    ("u4", {"external_user_id": "ext-4"}),
    ("u4", None),
    ("u6", {"external_user_id": "ext-6", "merged_into": "u7"}),
    ("u7", {"external_user_id": "ext-7", "merged_into": "u6"}),
    ("u8", {"external_user_id": "same"}),
    ("u9", {"external_user_id": "same", "merged_into": ""}),
    ("u9", {"external_user_id": "same",
            "user_aliases": [{"alias_name": "one", "alias_label": "en"}]}),
    ("u9", {"external_user_id": "other", "merged_into": "u9"}),
    ("u10", {"merged_into": "none"}),
]  # fmt: skip


def _events() -> Iterable[tuple[str, dict[str, Any]]]:
    a, b, c = {"campaign_id": "a"}, {"campaign_id": "b"}, {"canvas_id": "c"}
    v1, p1 = {"message_variation_id": "v1"}, {"canvas_variation_id": "p1"}
    s1 = {"canvas_step_id": "s1"}
    yield "send", {"user_id": "u1", **a, **v1, "channel": "EMAIL"}
    yield "open", {"user_id": "u1", **a, **v1, "channel": "EMAIL"}
    yield "click", {"user_id": "u1", **a, **v1, "channel": "EMAIL", "link_alias": "buy"}
    yield "conversion", {"user_id": "u1", **a, "conversion_behavior_index": 1}
    yield "send", {"user_id": "u1", **b, "channel": "PUSH"}
    yield "variant", {"user_id": "u1", **c, **p1}
    yield "send", {"user_id": "u1", **c, **p1, **s1, "channel": "EMAIL"}
    yield "variant", {"user_id": "u1", **c, **p1, "exited": True}
    yield "variant", {"user_id": "u2", **a, **v1, "in_control_group": True}
    yield "send", {"user_id": "u3", **a, "channel": "EMAIL"}
    yield "send", {"user_id": "u4", **a, "channel": "EMAIL"}
    yield "send", {"user_id": "u5", **a, "channel": "PUSH", "external_user_id": "by-event"}
    for kind, value, cleared in (
        ("HARD_BOUNCE", None, False),
        ("FEATURE_FLAG", "f1", False),
        ("FEATURE_FLAG", "f2", False),
        ("FEATURE_FLAG", "f2", True),
        ("INBOUND_KEYWORD", "STOP", False),
        *[("FEED_VIEW", None, False)] * 3,
    ):
        yield "signal", {
            "user_id": "u1", "signal_type": kind, "value": value, "cleared": cleared
        }  # fmt: skip
    yield "send", {"user_id": "u10", **a, "channel": "EMAIL"}


async def _publish(settings: Settings) -> None:
    keys = [each["key"].encode() for each in DEFINITIONS]
    told = [codec.encode("definition", {**each, "updated_at": START}) for each in DEFINITIONS]
    await publish(settings, [Chunk("catalog", keys, told)])
    users = [
        None if record is None else codec.encode("user", {"user_id": user, **record})
        for user, record in USERS
    ]
    await publish(settings, [Chunk("users", [user.encode() for user, _ in USERS], users)])
    topics: dict[str, tuple[list[bytes | None], list[bytes | None]]] = {}
    for minute, (kind, event) in enumerate(_events()):
        owners, values = topics.setdefault(f"interactions.{kind}", ([], []))
        owners.append(event["user_id"].encode())
        record = {"id": f"e{minute}", "time": START + 60_000 * minute, **event}
        values.append(codec.encode(kind, record))
    await publish(settings, [Chunk(topic, *parts) for topic, parts in topics.items()])


class Sites:
    """Two workers, and what is asked of either."""

    def __init__(
        self, settings: Settings, workers: list[Process], session: aiohttp.ClientSession
    ) -> None:
        self.settings = settings
        self.workers = workers
        self.session = session

    async def get(self, path: str, worker: int = 0) -> tuple[int, Any]:
        return await self._asked("GET", path, worker)

    async def post(self, path: str, body: Any, worker: int = 0) -> tuple[int, Any]:
        return await self._asked("POST", path, worker, json=body)

    async def _asked(self, method: str, path: str, worker: int, **more: Any) -> tuple[int, Any]:
        url = f"{self.workers[worker].facts['address']}{path}"
        async with self.session.request(method, url, **more) as answer:
            text = await answer.text()
            if answer.status == 503:
                assert int(answer.headers["Retry-After"]) > 0
            whole = answer.content_type in ("application/json", "application/problem+json")
            return answer.status, json.loads(text) if whole else text

    async def both(self, path: str) -> tuple[int, Any]:
        first, second = [await self.get(path, worker) for worker in range(2)]
        assert first == second
        return first

    async def both_post(self, path: str, body: Any) -> tuple[int, Any]:
        first, second = [await self.post(path, body, worker) for worker in range(2)]
        assert first == second
        return first

    async def settled(self) -> None:
        await until(self._folded, DEADLINE_S, "all is folded")

    async def _folded(self) -> bool:
        held = set()
        for worker in self.workers:
            found: Mapping[str, Any] = await worker.status(self.session)
            if not found["ready"] or any(shard["cursor_lag"] for shard in found["shards"]):
                return False
            if sum(found["sources"].values()) != 4:
                return False
            held |= {shard["partition"] for shard in found["shards"]}
            if len(found["shards"]) != 2:
                return False
        status, _ = await self.get("/users/u5")
        return len(held) == 4 and status == 200


@pytest.fixture
async def sites(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[Sites]:
    flags = {"bootstrap_servers": broker, "prefix": prefix, "partitions": 4, "http_port": 0}
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    settings = load({**flags, "data_dir": folders[0] / "data"}, env={}, file=tmp_path / "none")
    await topic_admin.create(settings)
    await _publish(settings)
    async with AsyncExitStack() as stack:
        workers = []
        for folder in folders:
            own = replace(settings, data_dir=folder / "data")
            workers.append(await stack.enter_async_context(running(own)))
        for worker in workers:
            await worker.ready()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        found = Sites(settings, workers, session)
        await found.settled()
        yield found

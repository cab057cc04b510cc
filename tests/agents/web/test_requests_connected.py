"""Commands over HTTP to real workers: the whole way to Kafka, the coordinator, shards, and back."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.http.keys import Keys, Scope
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import define, records, small
from tests.rigs.worker import running

A = "campaign:spring"


async def until(session: aiohttp.ClientSession, url: str, **wanted: Any) -> dict[str, Any]:
    """Ask until the answer is as wanted."""
    found: dict[str, Any] = {}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        async with session.get(url) as answer:
            found = await answer.json(content_type=None)
        if all(found.get(name) == value for name, value in wanted.items()):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{url} is not {wanted}: {found}")


@pytest.mark.connected
async def test_a_restore_by_http_from_the_call_to_the_event(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    # by two lives of one worker
    keys, token = Keys().add("ops", [Scope.READ, Scope.OPERATE], 1)
    keys.save(tmp_path / "keys.json")
    settings = small(settings, retention="PT1S", keys_file=tmp_path / "keys.json")
    event = {"id": "1", "user_id": "ada", "time": 1_767_225_600_000, "campaign_id": "spring",
             "channel": "EMAIL"}  # fmt: skip
    await publish(settings, [Chunk("interactions.send", [b"ada"], [codec.encode("send", event)])])
    await define(settings, A, "STOPPED", 1_767_225_600_000, tags=["2026"])
    headers = {"Authorization": f"Bearer {token}"}
    async with running(settings) as worker, aiohttp.ClientSession(headers=headers) as session:
        await worker.ready()
        await until(session, f"{worker.url}/sources/{A}", state="EXPIRED")
        named = {"Idempotency-Key": "again"}
        body = {"tag": "2026", "reason": "retargeting"}
        for _ in range(2):
            async with session.post(f"{worker.url}/restores", json=body, headers=named) as answer:
                assert answer.status == 202, await answer.text()
                found = await answer.json()
                assert found["sources"][0]["source"] == A
                where = answer.headers["Location"]
        found = await until(session, f"{worker.url}{where}", state="finished")
        assert (found["actor"], found["counts"]["completed"]) == ("ops", 1)
        # what another program writes is marked
        value = codec.encode(
            "command", {"type": "hold", "sources": [A], "request_id": "h", "requested_by": "ops"}
        )
        await publish(settings, [Chunk("control", [b"h"], [value])])
        found = await until(session, f"{worker.url}/requests/h", state="finished")
        assert found["actor"] == "ops (unverified)"
    (told,) = await records(settings, topics.restored, "restored")
    assert (told["request_id"], told["requested_by"]) == ("again", "ops")
    audit = await records(settings, topics.audit, "audit")
    assert {(one["decision"], one["by"]) for one in audit if one["request_id"]} >= {
        ("restoring", "ops"),
        ("hold", "ops (unverified)"),
    }
    async with running(settings) as worker, aiohttp.ClientSession(headers=headers) as session:
        await worker.ready()
        found = await until(session, f"{worker.url}/restores/again", state="finished")
        assert found["reason"] == "retargeting"

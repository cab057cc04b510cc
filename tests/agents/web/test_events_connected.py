"""Events of a real worker: a restore from the command to its end, as a listener sees it."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import define
from tests.rigs.worker import running

A = "campaign:spring"


@pytest.mark.connected
async def test_an_expiry_and_a_restore_are_heard_as_they_happen(
    settings: Settings, topics: Topics
) -> None:
    event = {"id": "1", "user_id": "ada", "time": 1_767_225_600_000, "campaign_id": "spring",
             "channel": "EMAIL"}  # fmt: skip
    await publish(settings, [Chunk("interactions.send", [b"ada"], [codec.encode("send", event)])])
    await define(settings, A, "ACTIVE", 1_767_225_600_000)
    states: list[str] = []
    requests: dict[str, str] = {}

    def hear(data: dict[str, Any]) -> None:
        states.extend(one["state"] for one in data.get("sources", ()) if one["source"] == A)
        requests.update((one["request_id"], one["state"]) for one in data.get("requests", ()))

    async with running(settings) as worker, aiohttp.ClientSession() as session:
        await worker.ready()
        asked = False
        async with asyncio.timeout(60), session.get(f"{worker.url}/events") as answer:
            async for line in answer.content:
                if not line.startswith(b"data: "):
                    continue
                hear(json.loads(line[6:]))
                if not asked:
                    asked = True
                    await define(settings, A, "STOPPED", 1_767_225_700_000)
                    async with session.post(
                        f"{worker.url}/sources/{A}/expire", headers={"Idempotency-Key": "e"}
                    ) as expiring:
                        assert expiring.status in (200, 202), await expiring.text()
                elif states[-1:] == ["EXPIRED"] and "r" not in requests:
                    requests["r"] = "asked"
                    async with session.post(
                        f"{worker.url}/restores",
                        json={"sources": [A]},
                        headers={"Idempotency-Key": "r"},
                    ) as restoring:
                        assert restoring.status == 202
                if requests.get("r") == "finished" and states[-1] == "STOPPED":
                    break
    assert requests == {"e": "finished", "r": "finished"}

"""A restart is an upgrade: what the worker before the rooms wrote, this one starts on.

The fixture was written by `python -m tests.rigs.upgrade.record` with the commit f04fdb3.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.tools.operator_requests import ask, command
from streams.settings import Settings
from tests.rigs.upgrade import deployment
from tests.rigs.upgrade.replay import remove_topics, replay, unpack_stores
from tests.rigs.worker import DEADLINE_S, running

pytestmark = pytest.mark.connected


@pytest.fixture
async def former(broker: str, tmp_path: Path) -> AsyncIterator[Settings]:
    """The topics of the former deployment, with every record at its offset."""
    settings = deployment.settings(broker, tmp_path)
    await remove_topics(settings)
    await replay(deployment.FIXTURE, settings)
    yield settings
    await remove_topics(settings)


@pytest.mark.parametrize("stores", [True, False], ids=["with its stores", "from its changelog"])
async def test_a_former_deployment_starts_on_this_worker(former: Settings, stores: bool) -> None:
    told = json.loads((deployment.FIXTURE / "answers.json").read_text())
    before = told.pop("rows before expiry")
    if stores:
        unpack_stores(deployment.FIXTURE, former)
    async with running(former) as worker, aiohttp.ClientSession() as session:
        address = str((await worker.ready())["address"])
        found = await deployment.answers(session, address)
        assert _differing(found, told) == {}
        assert told[f"rows of {deployment.EXPIRED}"] == ["source_hidden"]

        request = command("restore", (deployment.EXPIRED,), reason="upgrade")
        answer = await ask(former, request, silence_s=DEADLINE_S)
        assert not answer.bad
        async with asyncio.timeout(DEADLINE_S):
            url = f"{address}/sources/{deployment.EXPIRED}"
            while not (await (await session.get(url)).json())["visible"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # the worker reads lifecycle.state a moment later
        assert await deployment.rows(session, address, deployment.EXPIRED) == before
        others = await deployment.answers(session, address)
        others_told = {
            name: told[name]
            for source in set(deployment.SOURCES) - {deployment.EXPIRED}
            for name in (f"{what} of {source}" for what in ("state", "rows", "figures"))
        }
        assert _differing(others, others_told) == {}


def _differing(found: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Answers that are not what they were; an object, at any depth, may have got more fields."""
    return {name: found[name] for name in told if not _same(found[name], told[name])}


def _same(new: Any, old: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and _same(new[key], old[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(new) == len(old) and all(map(_same, new, old))
    return bool(new == old)

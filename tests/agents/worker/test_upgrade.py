"""A restart is an upgrade: this worker starts on what the workers of former versions wrote.

The files were written by `python -m tests.rigs.upgrade.record`, those of a build before 0.1.0 with
the commit f04fdb3.
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
    """The settings of the former deployment; there are no topics of it."""
    settings = deployment.settings(broker, tmp_path)
    await remove_topics(settings)
    yield settings
    await remove_topics(settings)


@pytest.mark.parametrize(
    ("release", "stores"),
    [
        pytest.param(deployment.FIXTURE, True, id="before 0.1.0, with its stores"),
        *(
            # cursors in its stores name topics by ids, which new topics do not have
            pytest.param(release, False, id=f"{release.name}, from its changelog")
            for release in sorted(deployment.RELEASES.iterdir())
        ),
    ],
)
async def test_a_former_deployment_starts_on_this_worker(
    former: Settings, release: Path, stores: bool
) -> None:
    await replay(release, former)
    told = json.loads((release / "answers.json").read_text())
    before = told.pop("rows before expiry")
    unpack_stores(release, former, shards=stores)
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

"""Three clients of the platform's API ask a worker, each as a program of its own."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import pytest

from agents.http.keys import Scope
from agents.users.facts import UserFacts, UsersRead
from agents.users.partition import partition_of_user
from agents.users.person import Match, Person
from schemas.records.lifecycle import SourceState, State
from schemas.tables.roster import Alias
from tests.rigs.clients import CLIENTS, installed_node, installed_python
from tests.rigs.dummies import rows
from tests.rigs.given import Given
from tests.rigs.site import SHARDS, A, Site, active, define, serving

RATE = 5
"""Requests a second of one key; twice as many at once."""
TIMES = 3 * RATE
EMAIL = Alias("ada@example.com", "email")
ADA = Person("u1", "ext-1", (EMAIL,))
HIDDEN = "campaign:hidden"


def know_ada(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the site's shards know one user by external id and alias, who has received campaign a."""

    async def users(asked: Any) -> UsersRead:
        facts = (
            UserFacts(user, ADA if user == ADA.user else None, rows(A, user), {}, 0)
            for user in asked
        )
        return UsersRead({each.user: each for each in facts})

    async def find(externals: Any, aliases: Any) -> list[Match]:
        found = [Match("external", "ext-1", ADA.user)] if "ext-1" in externals else []
        if EMAIL in aliases:
            found.append(Match("alias", EMAIL.name, ADA.user, EMAIL.label))
        return found

    for shard in site.shards.values():
        monkeypatch.setattr(shard, "users", users)
    home = site.shards[partition_of_user(ADA.user, SHARDS)]
    monkeypatch.setattr(home, "find_users", find)


@pytest.fixture
async def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimpleNamespace]:
    given = Given(tmp_path, http_rate=RATE)
    site = Site(given.settings, set(range(SHARDS)), active(), SourceState(HIDDEN, State.EXPIRED, 3))
    know_ada(site, monkeypatch)
    for segment, campaign in (("s", "a"), ("hidden", "hidden")):
        filters = {"filter": "received_from_campaign", "campaign": campaign}
        define(site, f"segment:{segment}", filters=json.dumps(filters))
    async with serving(site) as session:
        yield SimpleNamespace(site=site, given=given, session=session)
    await site.context.exports.close()


async def ran(worker: Any, *command: Path) -> dict[str, Any]:
    """What a client's program prints."""
    told = [worker.site.context.address, worker.given.tokens[Scope.EXPORT], "wrong", str(TIMES)]
    running = await asyncio.create_subprocess_exec(
        *command, *told, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            out, error = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, error.decode()
    found: dict[str, Any] = json.loads(out)
    return found


def cache_of(config: pytest.Config, name: str) -> Path:
    return config.rootpath / ".pytest_cache" / "clients" / name


CAMPAIGN = {
    "name": "a",
    "last_received": "1970-01-01T00:00:00.002Z",
    "engaged": {
        "opened_email": False,
        "opened_push": False,
        "clicked_email": False,
        "clicked_triggered_in_app_message": False,
    },
    "converted": False,
    "api_campaign_id": "a",
    "variation_name": "v",
    "variation_api_id": "v",
    "in_control": False,
}
FOUND = {
    "message": "success",
    "users": [{"external_id": "ext-1", "campaigns_received": [CAMPAIGN]}],
    "invalid_user_ids": ["nobody"],
    "unknown_fields": ["shoe_size"],
}


def subset(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in FOUND}


async def test_braze_client_of_pypi(worker: Any, pytestconfig: pytest.Config) -> None:
    python = installed_python("braze-client", cache_of(pytestconfig, "braze-client"))
    found = await ran(worker, python, CLIENTS / "braze_client.py")
    assert subset(found["users"]) == FOUND
    assert found["users"]["success"] is True
    assert "email_address: it does not identify users here" in found["email"]
    assert "emberline keys add" in found["unauthorized"]
    # it waited for X-RateLimit-Reset and asked again, instead of giving up
    assert found["seconds"] > 0.2


async def test_edx_braze_client_of_pypi(worker: Any, pytestconfig: pytest.Config) -> None:
    python = installed_python("edx-braze-client", cache_of(pytestconfig, "edx-braze-client"))
    found = await ran(worker, python, CLIENTS / "edx_braze_client.py")
    assert [user["external_id"] for user in found["users"]["users"]] == ["ext-1"]
    assert found["batch"] == {}, "it reads `email`, which no export object has here"
    codes = {name: found[name]["code"] for name in ("email", "unauthorized", "elsewhere")}
    assert codes == {
        "email": "bad_request",
        "unauthorized": "unauthorized",
        "elsewhere": "not_found",
    }
    assert time.time() - 60 < found["reset"] < time.time() + 2


async def test_braze_api_of_npm(worker: Any, pytestconfig: pytest.Config) -> None:
    node, folder = installed_node(cache_of(pytestconfig, "braze-api"))
    program = folder / "braze_api.js"  # node looks for packages beside the program
    program.write_bytes((CLIENTS / program.name).read_bytes())
    found = await ran(worker, node, program)
    assert subset(found["users"]) == FOUND
    prefix, url = found["segment"]["object_prefix"], found["segment"]["url"]
    assert found["segment"]["message"] == "success"
    async with worker.session.get(url, headers=worker.given.header(Scope.ADMIN)) as answer:
        assert answer.status == 200
        archive = ZipFile(io.BytesIO(await answer.read()))
    (name,) = archive.namelist()
    assert name.startswith(prefix)
    users = {json.loads(line)["braze_id"] for line in archive.read(name).splitlines()}
    assert users == {f"u{p}-{n}" for p in range(SHARDS) for n in range(3)}
    refusals = {name: found[name]["status"] for name in ("hidden", "email", "unauthorized")}
    assert refusals == {"hidden": 409, "email": 400, "unauthorized": 401}
    assert "campaign:hidden" in found["hidden"]["message"]
    assert (found["elsewhere"]["status"], found["limited"]["status"]) == (404, 429)
    assert "may send 5 requests a second" in found["limited"]["message"]

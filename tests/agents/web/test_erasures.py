"""Erasures over HTTP: sealed before they leave the worker, for admins alone, with a receipt."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.coordinator.rules.inputs import ReportRead
from agents.http.keys import Keys, Scope
from agents.requests.erasure_facts import PLACES
from schemas.records.lifecycle import ErasureItem, Report
from streams import erasure_key
from tests.rigs.site import Site, serving, settings

DONE: dict[str, Any] = {"hot": True, "archive": True, "deleted": True, "apart": True}


class Caller:
    """Calls one worker; a coordinator on paper reads what it is sent."""

    def __init__(self, site: Site, session: aiohttp.ClientSession) -> None:
        self.site = site
        self.session = session

    async def post(self, body: Any, **headers: str) -> tuple[int, Any]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.site.context.address}/erasures"
        async with self.session.post(url, json=body, headers=given) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.site.context.address + path) as answer:
            return answer.status, await answer.json(content_type=None)

    async def report(self, request_id: str, **facts: Any) -> None:
        desk = self.site.paper.desk
        for shard in desk.state.erasures[request_id].orders:
            desk.take(ReportRead(Report(shard, (), (ErasureItem(request_id, **facts),))))
        await self.site.paper.tell()


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    file = tmp_path / "erasure.key"
    erasure_key.make(file)
    site = Site(replace(settings(tmp_path), erasure_key_file=file), set(range(4)))
    async with serving(site) as session:
        yield Caller(site, session)


def places(found: Any) -> dict[str, str]:
    return {place["place"]: place["state"] for place in found["receipt"]["places"]}


async def test_from_the_call_to_the_receipt(caller: Caller) -> None:
    status, found = await caller.post({"users": ["ada", "bob"]}, Idempotency_Key="one")
    assert (status, found["state"], found["type"]) == (202, "running", "erase")
    # hashes are in hexadecimal digits, of which a name may consist
    assert not any(b'"ada"' in (record.value or b"") for record in caller.site.paper.sent)
    # the same again is the same request, and other users under its id are refused
    assert (await caller.post({"users": ["bob", "ada"]}, Idempotency_Key="one"))[0] == 202
    status, found = await caller.post({"users": ["eve"]}, Idempotency_Key="one")
    assert (status, found["code"]) == (409, "key_reused")
    _, found = await caller.get("/erasures/one")
    assert places(found)["answers"] == "removing"
    await caller.report("one", rows=2, held=("campaign:a",))
    _, found = await caller.get("/erasures/one")
    assert places(found)["answers"] == "gone"
    assert places(found)["hot tables"] == "held"
    assert found["receipt"]["held"] == ["campaign:a"]
    await caller.report("one", rows=3, archived=5, **DONE)
    _, found = await caller.get("/erasures/one")
    assert found["state"] == "finished"
    assert tuple(places(found)) == PLACES
    assert {places(found)[name] for name in PLACES[:4]} == {"gone"}
    assert places(found)["event topics"] == "remains"
    assert places(found)["other ids"] == "remains"
    shards = found["receipt"]["shards"]
    rows = {one["place"]: one["rows"] for one in found["receipt"]["places"]}
    assert (rows["hot tables"], rows["archive"]) == (3 * shards, 5 * shards)
    _, listed = await caller.get("/erasures")
    assert [one["request_id"] for one in listed["requests"]] == ["one"]
    # with the same parameters as other lists of requests
    for wanted, count in (("state=finished&dry_run=false&type=erase", 1), ("state=running", 0)):
        status, listed = await caller.get(f"/erasures?{wanted}")
        assert (status, len(listed["requests"])) == (200, count)
    assert (await caller.get("/erasures/two"))[0] == 404


async def test_a_dry_run_changes_nothing(caller: Caller) -> None:
    status, found = await caller.post({"users": ["ada"], "dry_run": True}, Idempotency_Key="dry")
    assert (status, found["state"]) == (200, "finished")
    assert not caller.site.paper.desk.state.erasures
    assert (await caller.get("/erasures/dry"))[1]["receipt"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"users": []}, {"users": [""]}, {"users": "ada"}, {"users": [1]}, {"users": ["a" * 2000]},
     {"users": ["ada"], "sources": ["campaign:a"]}, {"users": [f"u{n}" for n in range(10_001)]}],
)  # fmt: skip
async def test_wrong_bodies(caller: Caller, body: Any) -> None:
    status, found = await caller.post(body)
    assert (status, found["code"]) == (400, "bad_request")
    assert not caller.site.paper.sent


async def test_without_a_key_of_erasure_nothing_is_sent(tmp_path: Path) -> None:
    site = Site(replace(settings(tmp_path), erasure_key_file=tmp_path / "none"), {0, 1, 2, 3})
    async with serving(site) as session:
        status, found = await Caller(site, session).post({"users": ["ada"]})
        assert (status, found["code"]) == (409, "command_refused")
        assert "emberline keys erasure" in found["detail"]
        assert not site.paper.sent


async def test_only_admins_erase(tmp_path: Path) -> None:
    keys, operates = Keys().add("ops", [Scope.READ, Scope.OPERATE, Scope.EXPORT], 1)
    keys, admin = keys.add("root", [Scope.ADMIN], 1)
    keys.save(tmp_path / "keys.json")
    file = tmp_path / "erasure.key"
    erasure_key.make(file)
    given = replace(settings(tmp_path), keys_file=tmp_path / "keys.json", erasure_key_file=file)
    site = Site(given, {0, 1, 2, 3})
    async with serving(site) as session:
        caller = Caller(site, session)
        body = {"users": ["ada"], "dry_run": True}
        assert (await caller.post(body, Authorization=f"Bearer {operates}"))[0] == 403
        assert (await caller.post(body, Authorization=f"Bearer {admin}"))[0] == 200

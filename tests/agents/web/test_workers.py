"""GET /workers asks all workers at once; imports tell their progress."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from schemas.records.lifecycle import SourceState, State
from tests.rigs.site import A, Site, serving, settings

REPORT: dict[str, Any] = {
    "state": "running",
    "file": "sends.avro",
    "records": 10,
    "bad": 1,
    "done_bytes": 100,
    "total_bytes": 400,
    "per_second": 2.5,
    "seconds_left": None,
}


async def get(session: aiohttp.ClientSession, site: Site, path: str) -> dict[str, Any]:
    async with session.get(site.context.address + path) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def test_each_worker_says_how_it_stands_and_a_silent_one_is_named(tmp_path: Path) -> None:
    stuck = SourceState(A, State.EXPIRING, 3, name="Spring", stuck=(2,))
    one = Site(settings(tmp_path), {0, 1}, stuck)
    other = Site(settings(tmp_path), {2}, stuck)
    async with serving(one, other) as session:
        gone = "http://127.0.0.1:1"
        one.manager.directory.shards[3] = gone
        found = await get(session, one, "/workers")
    workers = {worker["address"]: worker for worker in found["workers"]}
    assert next(iter(workers)) == one.context.address
    assert set(workers) == {one.context.address, other.context.address, gone}
    assert workers[gone]["status"] is None
    assert workers[gone]["trouble"]
    shards = workers[other.context.address]["status"]["shards"]
    assert [shard["partition"] for shard in shards] == [2]
    assert (shards[0]["events_per_s"], shards[0]["lag_s"]) == (None, 0.0)
    own = workers[one.context.address]["status"]
    assert own["memory"]["budget"] > 0
    assert own["stuck"]["count"] == 1
    assert own["stuck"]["first"][0]["shards"] == [2]


async def test_an_import_is_shown_until_it_ends(tmp_path: Path) -> None:
    site = Site(settings(tmp_path), {0})
    async with serving(site) as session:
        url = f"{site.context.address}/imports/abc"
        for state in ("running", "finished"):
            async with session.post(url, json={**REPORT, "state": state}) as answer:
                assert answer.status == 200, await answer.text()
            (found,) = (await get(session, site, "/status"))["imports"]
            assert {name: found[name] for name in REPORT} == {**REPORT, "state": state}


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "lost"},
        {"records": -1},
        {"records": 1.5},
        {"records": True},
        {"total_bytes": 1 << 70},
        {"per_second": "fast"},
        {"file": "x" * 501},
        {"more": 1},
    ],
    ids=str,
)
async def test_a_report_that_cannot_be_one_is_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    site = Site(settings(tmp_path), {0})
    async with (
        serving(site) as session,
        session.post(f"{site.context.address}/imports/abc", json=REPORT | wrong) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (400, "bad_request")
        assert site.context.imports.found() == []

"""The platform's answer to the export of a segment, over real HTTP, on dummy shards."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import aiohttp
import pytest

from agents.http.keys import Scope
from agents.web.access_log import LOGGER
from agents.web.routes import export_file
from schemas.errors import Recoverable
from tests.rigs.dummies import until
from tests.rigs.given import Given
from tests.rigs.site import Site, active, define, serving

USERS = {f"u{p}-{n}" for p in range(4) for n in range(3)}
PLATFORMS = {"callback_endpoint": "http://127.0.0.1:9/", "output_format": "zip"}


@asynccontextmanager
async def exporting(given: Given) -> AsyncIterator["Exporter"]:
    sites = [Site(given.settings, held, active()) for held in ({0, 2}, {1, 3})]
    for site in sites:
        filters = json.dumps({"filter": "received_from_campaign", "campaign": "a"})
        define(site, "segment:s", filters=filters)
    try:
        async with serving(*sites) as session:
            yield Exporter(sites, session, given)
    finally:
        for site in sites:
            await site.context.exports.close()
            assert site.context.spools.used == 0


class Exporter:
    """Two workers, and requests with a key."""

    def __init__(self, sites: list[Site], session: aiohttp.ClientSession, given: Given) -> None:
        self.sites = sites
        self.session = session
        self.given = given

    async def begin(self, accept: str = "*/*", **more: Any) -> tuple[int, str, bytes]:
        url = f"{self.sites[0].context.address}/users/export/segment"
        headers = {**self.given.header(Scope.EXPORT), "Accept": accept}
        body = {"segment_id": "s", **more}
        async with self.session.post(url, json=body, headers=headers) as answer:
            return answer.status, answer.content_type, await answer.read()

    async def begun(self, **more: Any) -> dict[str, Any]:
        status, media, body = await self.begin(**(more or PLATFORMS))
        assert (status, media) == (200, "application/json")
        found: dict[str, Any] = json.loads(body)
        return found

    async def get(
        self, url: str, worker: int = 0, scope: Scope | None = Scope.EXPORT
    ) -> tuple[int, str, bytes]:
        there = url.replace(self.sites[0].context.address, self.sites[worker].context.address)
        headers = {} if scope is None else self.given.header(scope)
        async with self.session.get(there, headers=headers) as answer:
            return answer.status, answer.content_type, await answer.read()


def users_of(archive: bytes, prefix: str) -> list[Any]:
    with ZipFile(io.BytesIO(archive)) as found:
        assert all(name.startswith(prefix) for name in found.namelist())
        return [json.loads(line) for n in found.namelist() for line in found.read(n).splitlines()]


async def test_either_worker_gives_the_file_to_whom_may_have_users(tmp_path: Path) -> None:
    async with exporting(Given(tmp_path, http_rate=0)) as site:
        told = await site.begun(fields_to_export=["braze_id", "shoe_size"], **PLATFORMS)
        assert (told["message"], told["unknown_fields"]) == ("success", ["shoe_size"])
        prefix = told["object_prefix"]
        assert told["url"].endswith(f"/{prefix}.zip")
        for worker in range(2):
            status, media, body = await site.get(told["url"], worker)
            assert (status, media) == (200, "application/zip")
            assert {user["braze_id"] for user in users_of(body, prefix)} == USERS
            status, _, body = await site.get(told["url"].removesuffix(".zip"), worker)
            state = json.loads(body)
            assert (status, state["state"], state["count"]) == (200, "ready", len(USERS))
            assert state["unknown_fields"] == ["shoe_size"]
            assert state["excluded_expired"]["entries"] == 0
            assert state["available_until"]
            for scope, expected in ((None, 401), (Scope.READ, 403), (Scope.OPERATE, 403)):
                assert (await site.get(told["url"], worker, scope))[0] == expected
            for wrong in (told["url"].replace(prefix, f"{UUID(int=0)}-1"), f"{told['url']}x"):
                status, _, body = await site.get(wrong, worker)
                assert (status, json.loads(body)["code"]) == (404, "unknown_export")


@pytest.mark.parametrize(
    ("accept", "body", "archive"),
    [
        ("*/*", {}, False),
        ("*/*", {"output_format": "gzip"}, True),
        ("*/*", {"callback_endpoint": None}, True),
        ("application/json, text/plain, */*", {}, True),
        ("application/JSON;q=0.5", {}, True),
        ("application/x-ndjson", PLATFORMS, False),
        ("application/x-ndjson, application/json", {}, False),
        ("text/csv", {}, False),
    ],
)
async def test_who_asks_as_clients_of_the_platform_do_gets_its_answer(
    tmp_path: Path, accept: str, body: dict[str, Any], archive: bool
) -> None:
    async with exporting(Given(tmp_path)) as site:
        status, media, found = await site.begin(accept, **body)
    assert (status, media) == (200, "application/json" if archive else "application/x-ndjson")
    if not archive:
        *users, last = map(json.loads, found.splitlines())
        assert {user["braze_id"] for user in users} == USERS
        assert (last["complete"], last["count"]) == (True, len(USERS))


async def test_a_refusal_comes_at_once_and_a_failure_where_the_file_would_be(
    tmp_path: Path,
) -> None:
    async with exporting(Given(tmp_path, http_rate=0)) as site:
        status, _, body = await site.begin(segment_id="nowhere", **PLATFORMS)
        assert (status, json.loads(body)["code"]) == (400, "unknown_segment")
        site.sites[1].shards[1].breaks = Recoverable("shard 1 is away")
        told = await site.begun()
        for worker in range(2):
            status, _, body = await site.get(told["url"], worker)
            assert (status, json.loads(body)["code"]) == (410, "export_failed")
            status, _, body = await site.get(told["url"].removesuffix(".zip"), worker)
            assert (status, json.loads(body)["state"]) == (200, "failed")
        await until(lambda: not any(each.context.spools.used for each in site.sites))


@pytest.mark.parametrize(
    ("public", "begins"),
    [
        ("", "http://127.0.0.1:"),
        ("https://elsewhere.example", "http://127.0.0.1:"),
        (
            "https://user:secret@127.0.0.1/data/",
            "https://127.0.0.1/data/users/export/segment/files/",
        ),
    ],
)
async def test_the_file_is_where_the_client_reaches_the_worker(
    tmp_path: Path, public: str, begins: str
) -> None:
    async with exporting(Given(tmp_path, public_url=public)) as site:
        assert (await site.begun())["url"].startswith(begins)


async def test_without_a_folder_for_files_the_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with exporting(Given(tmp_path, data_dir=tmp_path / "file")) as site:
        status, _, body = await site.begin(**PLATFORMS)
        problem = json.loads(body)
        assert (status, problem["code"]) == (503, "busy")
        assert str(tmp_path) not in problem["detail"]


async def test_export_and_download_are_in_the_access_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with exporting(Given(tmp_path, http_rate=0)) as site:
        told = await site.begun()
        for worker in range(2):
            await site.get(told["url"], worker)
        found = [json.loads(each.getMessage()) for each in caplog.records if each.name == LOGGER]
    prefix = told["object_prefix"]
    assert found[0]["of"] == {"segment": "s", "export": prefix}
    assert [line["of"] for line in found[1:]] == [{"export": f"{prefix}.zip"}] * 2
    assert [line["rows"] for line in found] == [0, len(USERS), len(USERS)]
    assert {line["key"] for line in found} == {Scope.EXPORT.value}


async def test_a_file_that_is_being_made_is_waited_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_file, "WAIT_S", 0.05)
    held = asyncio.Event()

    async def slow(users: Any) -> Any:
        await held.wait()
        return await found(users)

    async with exporting(Given(tmp_path, http_rate=0)) as site:
        shard = site.sites[0].shards[0]
        found = shard.users
        monkeypatch.setattr(shard, "users", slow)
        told = await site.begun()
        for worker in range(2):
            status, _, body = await site.get(told["url"], worker)
            assert (status, json.loads(body)["code"]) == (404, "export_unfinished")
        status, _, body = await site.get(told["url"].removesuffix(".zip"))
        assert json.loads(body)["state"] == "making"
        monkeypatch.setattr(export_file, "WAIT_S", 20.0)
        held.set()
        status, _, body = await site.get(told["url"])
        assert (status, len(users_of(body, told["object_prefix"]))) == (200, len(USERS))


async def test_a_file_is_gone_when_its_time_is_over(tmp_path: Path) -> None:
    async with exporting(Given(tmp_path, http_rate=0, export_keep="PT0.1S")) as site:
        told = await site.begun()
        context = site.sites[0].context
        await until(lambda: context.exports.get(told["object_prefix"]) is None)
        status, _, body = await site.get(told["url"])
        assert (status, json.loads(body)["code"]) == (404, "unknown_export")
        assert context.spools.used == 0

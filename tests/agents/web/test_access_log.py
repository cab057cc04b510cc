"""A separate log says who exported which users; no log contains keys."""

import asyncio
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.http.keys import Scope
from agents.scatter import retry
from agents.shard.merge_list import Merges
from agents.web import access_log
from agents.web.access_log import LOGGER
from schemas.errors import Fatal, Recoverable
from schemas.tables.merges import merges_of
from schemas.tables.roster import roster_rows
from tests.rigs.dummies import DummyShard, until
from tests.rigs.given import FILTER, Given
from tests.rigs.site import SHARDS, A, Site, active, raw, serving

ROWS = 3 * SHARDS
SECRET = "emb_this-is-a-key-that-nobody-may-see"
NDJSON = {"Accept": "application/x-ndjson"}


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The access log has a place of its own."""
    caplog.set_level(logging.INFO, LOGGER)
    handler = logging.NullHandler()
    logging.getLogger(LOGGER).addHandler(handler)
    yield
    logging.getLogger(LOGGER).removeHandler(handler)


async def test_the_log_of_the_worker_names_no_users(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger(LOGGER).handlers.clear()
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        address, read, everything = (
            site.context.address, given.header(Scope.READ), given.header(Scope.ADMIN)
        )  # fmt: skip
        for headers in (read, everything):
            async with session.get(f"{address}/users/ann%40example.com", headers=headers):
                pass
        ids = {"braze_id": "ann@example.com", "external_ids": ["ann"]}
        async with session.post(f"{address}/users/export/ids", json=ids, headers=everything):
            pass
        async with session.get(site.path(), headers=everything) as answer:
            await answer.read()
    found = lines(caplog)
    assert [line["of"] for line in found] == [access_log.LEFT_OUT] * 3 + [{"source": A}]
    assert [line["status"] for line in found] == [403, 404, 200, 200]
    assert not any("ann" in json.dumps(line) for line in found)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    found = [json.loads(r.getMessage()) for r in caplog.records if r.name == LOGGER]
    caplog.clear()
    return found


async def written(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    await until(lambda: any(record.name == LOGGER for record in caplog.records))
    return lines(caplog)


@pytest.mark.parametrize(
    ("path", "body", "headers", "of", "rows"),
    [
        ("/sources/{}/interactions", None, {}, {"source": A}, ROWS),
        ("/sources/{}/interactions?format=csv", None, {}, {"source": A}, ROWS),
        ("/sources/{}/interactions?format=parquet", None, {}, {"source": A}, ROWS),
        ("/sources/{}/users.csv", None, {}, {"source": A}, ROWS),
        ("/audience", FILTER, {}, FILTER, ROWS),
        ("/audience", FILTER | {"limit": 5}, {}, FILTER, 5),
        ("/audience", FILTER, NDJSON, FILTER, ROWS),
        ("/audience", FILTER | {"limit": 5}, NDJSON, FILTER, 5),
        ("/users/export/ids", {"braze_id": "u\n1"}, {}, {"user": ["u\n1"], "external": [],
                                                        "alias": []}, 0),
    ],
)  # fmt: skip
async def test_each_export_is_logged(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    path: str,
    body: Any,
    headers: dict[str, str],
    of: Any,
    rows: int,
) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        method = "GET" if body is None else "POST"
        url = site.context.address + path.format(A)
        async with session.request(
            method, url, json=body, headers=headers | given.header(Scope.ADMIN)
        ) as answer:
            assert answer.status == 200
            await answer.read()
        # the client may have read the end before it is told
        (line,) = await written(caplog)
    route = path.partition("?")[0].replace("{}", "{source}")
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "key": "admin", "from": "127.0.0.1", "route": f"{method} {route}", "of": of,
        "rows": rows, "status": 200, "whole": True,
    }  # fmt: skip


async def test_counts_and_states_are_not_logged_and_refusals_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    read = given.header(Scope.READ)
    async with serving(site) as session:
        address = site.context.address
        async with session.post(f"{address}/audience", json=FILTER | {"limit": 0}, headers=read):
            pass
        for path in ("/sources", f"/sources/{A}", f"/sources/{A}/analytics", "/status", "/healthz"):
            async with session.get(address + path, headers=read) as answer:
                assert answer.status == 200
        # nobody's: there is no key to tell of
        async with session.get(site.path()) as answer:
            assert answer.status == 401
        assert lines(caplog) == []
        async with session.get(site.path(), headers=read) as answer:
            assert answer.status == 403
        async with session.post(f"{address}/audience", json=FILTER, headers=read) as answer:
            assert answer.status == 403
        async with session.get(f"{address}/users/ann", headers=read) as answer:
            assert answer.status == 403
        refused = lines(caplog)
        assert [(line["key"], line["status"], line["whole"]) for line in refused] == [
            ("read", 403, False)
        ] * 3
        assert [line["of"] for line in refused] == [{"source": A}, FILTER, {"id": "ann"}]
        async with session.get(f"{address}/users/ann", headers=given.header(Scope.EXPORT)):
            pass
        (line,) = await written(caplog)
        assert (line["of"], line["rows"], line["status"]) == ({"any": "ann"}, 0, 404)


async def test_incomplete_answers_are_logged_with_the_rows_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_S", 0.0)
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    header = given.header(Scope.EXPORT)
    async with serving(site) as session:
        site.shards[2].breaks = Recoverable("the store is gone")
        async with session.get(site.path(), headers=header) as answer:
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
                await answer.read()
        (line,) = await written(caplog)
        assert (line["status"], line["whole"]) == (200, False)
        assert 3 <= line["rows"] <= ROWS

        begun = asyncio.Event()

        async def never(self: DummyShard, *asked: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(DummyShard, "users", never)
        leaving = asyncio.create_task(
            asyncio.wait_for(session.get(f"{site.context.address}/users/ann", headers=header), 30)
        )
        await begun.wait()
        leaving.cancel()
        (line,) = await written(caplog)
        assert (line["status"], line["whole"]) == (499, False)


async def test_without_keys_exports_are_logged_too_and_long_questions_are_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    leaf = FILTER["filter"]
    async with serving(site) as session:
        url = f"{site.context.address}/audience"
        body = {"filter": {"or": [leaf] * 60}}
        async with session.post(url, json=body, headers=given.header(Scope.ADMIN)) as answer:
            assert answer.status == 200
        (line,) = await written(caplog)
    assert isinstance(line["of"], str)
    assert len(line["of"]) == access_log.MOST_OF


@pytest.fixture
def restored() -> Iterator[logging.Logger]:
    logger = logging.getLogger(LOGGER)
    before = logger.handlers, logger.propagate, logger.level
    yield logger
    logger.handlers, logger.propagate, logger.level = before


def test_it_can_have_a_file_of_its_own(tmp_path: Path, restored: logging.Logger) -> None:
    file = tmp_path / "access.log"
    access_log.configure(str(file))
    restored.info("%s", "one")
    file.rename(tmp_path / "access.log.1")
    restored.info("%s", "two")
    assert (tmp_path / "access.log.1").read_text() == "one\n"
    assert file.read_text() == "two\n"
    assert [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()] == [0o600, 0o600]
    with pytest.raises(Fatal, match="access_log"):
        access_log.configure(str(tmp_path / "none" / "access.log"))


MALFORMED = [
    f"GET /sources HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {SECRET}\x00\r\n\r\n",
    f"GET /sources HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization Bearer {SECRET}\r\n\r\n",
    f"GET /sources HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthori zation: Bearer {SECRET}\r\n\r\n",
    f"GET /sources HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {SECRET * 500}\r\n\r\n",
    f"GET /sources?key={SECRET * 500} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    f"Bearer {SECRET}\r\n\r\n",
    f"GET /{SECRET}\x00 HTTP/1.1\r\n\r\n",
    f"POST /audience HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {SECRET}\r\n\r\n",
]


@pytest.mark.parametrize("request_", MALFORMED)
async def test_what_is_no_http_is_not_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request_: str
) -> None:
    caplog.set_level(logging.DEBUG)
    site = Site(Given(tmp_path).settings, set(range(SHARDS)), active())
    async with serving(site):
        status, problem = await raw(site, request_)
    assert (status, problem["code"]) == (400, "bad_request")
    assert SECRET not in json.dumps(problem)
    ours = [r for r in caplog.records if not r.name.startswith("tests")]
    assert SECRET not in "".join(logging.Formatter().format(record) for record in ours)


async def test_users_without_a_line_are_not_counted_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    gone: list[tuple[str, Any]] = [("u0-1", {"merged_into": "u0-2"}), ("u1-0", None)]
    told = roster_rows([*gone, ("u0-2", {})], 0)
    for shard in site.shards.values():
        shard.roster = told
    site.shards[0].merged = Merges(merges_of(told), "one")
    async with serving(site) as session:
        url = f"{site.context.address}/sources/{A}/users.csv"
        async with session.get(url, headers=given.header(Scope.EXPORT)) as answer:
            sent = (await answer.text()).splitlines()
        (line,) = await written(caplog)
    assert line["rows"] == len(sent) - 1 == ROWS - len(gone)

"""Who may send requests, how often, with which body, and for how long."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agents.cli.export import fetch
from agents.cli.status import worker_line
from agents.cli.status_facts import worker_facts
from agents.http.attempts import Bucket
from agents.http.keyring import check_exposure
from agents.http.keys import Scope
from agents.requests import events
from agents.web.openapi import document
from agents.web.server import ROUTES, routes
from schemas.errors import Fatal
from streams.clock import ManualClock
from streams.settings import load
from tests.rigs.dummies import DummyShard
from tests.rigs.given import FILTER, Given
from tests.rigs.site import SHARDS, A, Site, active, raw, serving

PARTS = {"partition": "0", "source": "campaign:a"}


async def asked(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None, **more: Any
) -> tuple[int, Any, aiohttp.ClientResponse]:
    async with session.request(more.pop("method", "GET"), url, headers=headers, **more) as answer:
        body = await answer.text()
        return answer.status, json.loads(body) if answer.status != 200 else body, answer


async def test_every_route_asks_for_its_scope_and_only_health_and_the_way_in_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_S", 0.0)
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        for route in ROUTES:
            url = site.context.address + re.sub(
                r"{(\w+)}", lambda part: PARTS.get(part[1], "u1"), route.path
            )
            status, problem, answer = await asked(session, url, method=route.method)
            if route.scope is None:
                # only a page of this host may change a session
                found = 404 if "{version}" in route.path else 200
                assert status == (found if route.method == "GET" else 403)
                continue
            assert (status, problem["code"]) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            for scope in given.tokens:
                status, problem, _ = await asked(
                    session, url, given.header(scope), method=route.method
                )
                allowed = scope is route.scope or (
                    scope is Scope.ADMIN and route.scope is not Scope.WORKER
                )
                assert (status == 403) == (not allowed), (route.path, scope)
        assert {r.path for r in ROUTES if r.scope is None} == {
            *("/", "/healthz", "/readyz", "/session", "/assets/boot.js"),
            "/assets/{version}/{name}",
        }
        for wrong in ("Bearer nonsense", "Basic abc", given.tokens[Scope.ADMIN]):
            headers = {"Authorization": wrong}
            assert (await asked(session, f"{site.context.address}/status", headers))[0] == 401
        assert (await asked(session, f"{site.context.address}/nowhere"))[0] == 404


async def test_workers_know_each_other_by_the_file(tmp_path: Path) -> None:
    given = Given(tmp_path)
    first = Site(given.settings, {0, 2}, active())
    second = Site(given.settings, {1, 3}, active())
    async with serving(first, second) as session:
        for rest in ("/interactions", "/analytics", ""):
            async with session.get(first.path(rest), headers=given.header(Scope.ADMIN)) as answer:
                assert answer.status == 200
                body = await answer.text()
        assert '"missing_shards":[]' in body


OWN = ["127.0.0.1:6066", "127.8.9.1", "localhost", "LOCALHOST:1", "[::1]:6066", "[::1]"]
FOREIGN = ["evil.example", "evil.example:6066", "127.0.0.1.evil.example", "localhost.evil.example",
           "10.0.0.1:6066", "[2001:db8::1]:6066", "127.0.0.1@evil.example", "", ":6066",
           "0.0.0.0:6066"]  # fmt: skip


@pytest.mark.parametrize("keys", [False, True])
async def test_without_keys_only_this_machine_is_asked_for(tmp_path: Path, keys: bool) -> None:
    given = Given(tmp_path)
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    without = load(flags, env={}, file=tmp_path / "none")
    site = Site(given.settings if keys else without, set(range(SHARDS)), active())
    header = f"Authorization: Bearer {given.tokens[Scope.ADMIN]}\r\n"

    async def ask(host: str, path: str = "/sources") -> tuple[int, Any]:
        named = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        return await raw(site, f"{named}{header if keys else ''}\r\n")

    async with serving(site):
        assert [(await ask(host))[0] for host in OWN] == [200] * len(OWN)
        for host in FOREIGN:
            status, problem = await ask(host)
            assert status == (200 if keys else 403), host
            if not keys:
                assert problem["code"] == "foreign_host"
                assert "emberline keys add" in problem["detail"]
        for path in ("/internal/shards/0/analytics?source=x", "/healthz", "/nowhere"):
            assert (await ask("evil.example", path))[0] == 403 or keys
        # programs of old may name no host; browsers always do
        assert (await raw(site, f"GET /sources HTTP/1.0\r\n{header if keys else ''}\r\n"))[0] == 200


async def test_without_keys_the_name_that_is_set_is_a_workers_own(tmp_path: Path) -> None:
    flags = {"partitions": SHARDS, "keys_file": tmp_path / "none", "http_host": "Here.example"}
    settings = load(flags, env={}, file=tmp_path / "none")
    first, second = Site(settings, {0, 2}, active()), Site(settings, {1, 3}, active())
    async with serving(first, second):
        asked = "GET /sources HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n"
        assert (await raw(first, asked % "here.example:6066"))[0] == 200
        status, found = await raw(first, asked % "localhost")
        assert (status, found["missing_shards"]) == (200, [])


async def test_a_key_that_asks_too_often_waits(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=1)
    site = Site(given.settings, set(range(SHARDS)), active())
    site.context.clock = clock = ManualClock(1_767_225_600_000)
    async with serving(site) as session:
        url = f"{site.context.address}/sources"
        found = [await asked(session, url, given.header(Scope.READ)) for _ in range(3)]
        assert [status for status, _, _ in found] == [200, 200, 429]
        assert found[2][1]["code"] == "too_many_requests"
        assert found[2][1]["message"] == found[2][1]["detail"]
        assert int(found[2][2].headers["Retry-After"]) == 1
        # the first second in which the next request is taken: `rate` is one a second
        assert int(found[2][2].headers["X-RateLimit-Reset"]) == 1_767_225_601
        # another key has a bucket of its own
        assert (await asked(session, url, given.header(Scope.ADMIN)))[0] == 200
        # nor may what it is refused be asked for without end: each is a line of the access log
        rows = site.path("/interactions")
        refused = [(await asked(session, rows, given.header(Scope.OPERATE)))[0] for _ in range(4)]
        assert refused == [403, 403, 429, 429]
        clock.advance(1_000)
        found = [await asked(session, url, given.header(Scope.READ)) for _ in range(2)]
        assert [status for status, _, _ in found] == [200, 429]


def test_a_bucket_fills_with_time() -> None:
    bucket = Bucket(rate=10, tokens=1, at=0.0)
    assert bucket.wait(0.0) == 0
    assert bucket.wait(0.0) == pytest.approx(0.1)
    assert bucket.wait(0.1) == 0
    assert [bucket.wait(100.0) for _ in range(21)][19:] == [0, pytest.approx(0.1)]


async def test_long_bodies_and_slow_answers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: DummyShard, source: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(DummyShard, "analytics", never)
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "http_timeout": "PT0.1S",
             "http_body_bytes": 1_000, "keys_file": tmp_path / "none"}  # fmt: skip
    settings = load(flags, env={}, file=tmp_path / "none")
    site = Site(settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        url = f"{site.context.address}/audience"
        status, problem, _ = await asked(session, url, method="POST", data=b"x" * 1_001)
        assert (status, problem["code"]) == (413, "request_too_large")

        async def unmeasured() -> AsyncIterator[bytes]:
            yield b'{"filter": "%s"' % (b"x" * 500)
            yield b" " * 500 + b"}"

        json_header = {"Content-Type": "application/json"}
        status, problem, _ = await asked(
            session, url, json_header, method="POST", data=unmeasured()
        )
        assert (status, problem["code"]) == (413, "request_too_large")
        status, problem, _ = await asked(session, site.path("/analytics"))
        assert (status, problem["code"]) == (503, "time_limit")


async def test_an_answer_that_has_begun_may_take_its_time(tmp_path: Path) -> None:
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "http_timeout": "PT1.5S"}
    site = Site(load(flags, env={}, file=tmp_path / "none"), set(range(SHARDS)), active())
    async with serving(site) as session, session.get(site.path()) as answer:
        assert answer.status == 200
        first = await answer.content.readany()
        await asyncio.sleep(1.6)  # longer than an answer may take to begin
        assert b'"complete": true' in first + await answer.read()


async def test_addresses_of_recipients_are_for_operators(tmp_path: Path) -> None:
    mails, hook = "ann@secret.test", "https://hooks.secret.test/x"
    more = {"notify_to": mails, "notify_languages": f"{mails}=fr", "webhook_urls": hook}
    given = Given(tmp_path, **more)
    site = Site(given.settings, set(range(SHARDS)), active())
    site.paper.desk.expired("campaign:a")
    await site.paper.tell()
    async with serving(site) as session:

        async def get(scope: Scope, path: str) -> str:
            url, header = site.context.address + path, given.header(scope)
            async with session.get(url, headers=header) as answer:
                assert answer.status == 200
                return await answer.text()

        body = {"sources": ["campaign:a"], "notify": [mails]}
        headers = given.header(Scope.OPERATE) | {"Idempotency-Key": "r"}
        async with session.post(
            f"{site.context.address}/restores", json=body, headers=headers
        ) as answer:
            assert (await answer.json())["notify"] == [mails]
        for path in ("/restores", "/restores/r", "/requests", "/requests/r", "/settings"):
            told = await get(Scope.READ, path)
            assert "secret.test" not in told, path
            assert mails in await get(Scope.ADMIN, path), path
        assert "(set)" in told


async def test_each_answer_says_what_it_is_and_that_nobody_stores_it(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    paths = {route.path for route in ROUTES if route.method == "GET"}
    async with serving(site) as session:
        for path in (*sorted(paths - {"/events", "/", "/assets/boot.js"}), "/assets/0/x.js", "/no"):
            asked = re.sub("{source}", "campaign:a", path)
            for headers in ({}, given.header(Scope.ADMIN)):
                url = site.context.address + asked
                async with session.get(url, headers=headers) as answer:
                    told = answer.headers
                    assert told["X-Content-Type-Options"] == "nosniff", path
                    assert told["Cross-Origin-Resource-Policy"] == "same-origin", path
                    kept = told["Cache-Control"]
                    assert kept in ("no-store", "private, no-cache"), (path, answer.status, kept)


async def test_counts_are_read_and_users_are_exported(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        url = f"{site.context.address}/audience"

        async def post(scope: Scope, more: dict[str, Any], accept: str = "*/*") -> tuple[int, Any]:
            headers = {**given.header(scope), "Accept": accept}
            sent: Any = {"method": "POST", "json": FILTER | more}
            status, body, _ = await asked(session, url, headers, **sent)
            return status, body

        status, body = await post(Scope.READ, {"limit": 0})
        assert (status, json.loads(body)["count"], json.loads(body)["users"]) == (200, 12, [])
        assert json.loads(body)["next"] is None
        ndjson = "application/x-ndjson"
        for more, accept in (({}, "*/*"), ({"limit": 1}, "*/*"), ({"limit": 0}, ndjson)):
            status, problem = await post(Scope.READ, more, accept)
            assert (status, problem["code"], problem["scope"]) == (403, "forbidden", "users.export")
            assert '"limit": 0' in problem["detail"]
        # one scope does not hold the other: whoever exports asks for both
        assert (await post(Scope.EXPORT, {}))[0] == 403
        assert (await post(Scope.ADMIN, {}))[0] == 200
        for format_ in ("ndjson", "csv", "parquet"):
            rows = site.path(f"/interactions?format={format_}")
            assert (await asked(session, rows, given.header(Scope.READ)))[0] == 403
            async with session.get(rows, headers=given.header(Scope.EXPORT)) as answer:
                assert answer.status == 200


FORWARDED = ["Forwarded: for=10.0.0.1", "X-Forwarded-For: 10.0.0.1", "x-forwarded-proto: https",
             "X-FORWARDED-HOST: here", "Via: 1.1 proxy", "X-Real-IP: 10.0.0.1",
             "X-Forwarded: for=10.0.0.1", "Forwarded-For: 10.0.0.1", "Client-IP: 10.0.0.1",
             "X-Cluster-Client-IP: 10.0.0.1", "CDN-Loop: cdn", "X-Amzn-Trace-Id: Root=1",
             "X-Azure-ClientIP: 10.0.0.1", "Fastly-Client-IP: 10.0.0.1", "X-ARR-LOG-ID: 1",
             "Proxy-Connection: close", "X-ProxyUser-IP: 10.0.0.1"]  # fmt: skip
CROSS = ["Origin: http://evil.example", "Origin: null", "Origin: http://127.0.0.1:1",
         "Origin: http://127.0.0.1.evil.example", "Origin: http://[", "Sec-Fetch-Site: cross-site",
         "Sec-Fetch-Site: same-site", "Sec-Fetch-Site: CROSS-SITE"]  # fmt: skip


@pytest.mark.parametrize("keys", [False, True])
async def test_without_keys_neither_proxies_nor_pages_are_served(
    tmp_path: Path, keys: bool
) -> None:
    given = Given(tmp_path, http_rate=0)
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    without = load(flags, env={}, file=tmp_path / "none")
    site = Site(given.settings if keys else without, set(range(SHARDS)), active())
    key = f"Authorization: Bearer {given.tokens[Scope.ADMIN]}\r\n" if keys else ""

    async def ask(header: str, path: str = "/sources") -> tuple[int, Any]:
        host = site.context.address.removeprefix("http://")
        own = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{key}"
        return await raw(site, f"{own}{header}\r\n\r\n")

    async with serving(site):
        for code, headers in (("proxied", FORWARDED), ("cross_site", CROSS)):
            for header in headers:
                for path in ("/sources", "/healthz", f"/sources/{A}/interactions"):
                    if keys:
                        continue
                    status, problem = await ask(header, path)
                    assert (status, problem["code"]) == (403, code), header
                    assert "emberline keys add" in problem["detail"]
                assert not keys or (await ask(header))[0] == 200
        for header in (f"Origin: {site.context.address}", "Sec-Fetch-Site: same-origin",
                       "Sec-Fetch-Site: none", "Accept: */*"):  # fmt: skip
            assert (await ask(header))[0] == 200


@pytest.mark.parametrize("path", ["/audience", "/users/export/ids", "/users/export/segment"])
async def test_a_body_is_said_to_be_json(tmp_path: Path, path: str) -> None:
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    site = Site(load(flags, env={}, file=tmp_path / "none"), set(range(SHARDS)), active())
    async with serving(site) as session:
        url = site.context.address + path
        for sent in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            more: Any = {"method": "POST", "data": b"{}"}
            status, problem, _ = await asked(session, url, {"Content-Type": sent}, **more)
            assert (status, problem["code"]) == (415, "unsupported_media_type")
        host = site.context.address.removeprefix("http://")
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        status, problem = await raw(site, f"{head}Content-Length: 2\r\n\r\n{{}}")
        assert (status, problem["code"]) == (415, "unsupported_media_type")
        more = {"method": "POST", "data": b"{}"}
        typed = {"Content-Type": "application/json; charset=utf-8"}
        assert (await asked(session, url, typed, **more))[0] == 400


async def test_a_worker_that_requires_keys_serves_no_request_without(tmp_path: Path) -> None:
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none",
             "require_keys": True}  # fmt: skip
    settings = load(flags, env={}, file=tmp_path / "none")
    with pytest.raises(Fatal, match="emberline keys add"):
        check_exposure(settings)
    site = Site(settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        assert (await asked(session, f"{site.context.address}/sources"))[0] == 401
        assert (await asked(session, f"{site.context.address}/healthz"))[0] == 200


def test_a_worker_without_keys_says_so_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flags = {"keys_file": tmp_path / "none"}
    check_exposure(load(flags, env={}, file=tmp_path / "none"))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "NO KEYS" in record.getMessage()
    assert "emberline keys add" in record.getMessage()
    caplog.clear()
    check_exposure(Given(tmp_path).settings)
    assert not caplog.records


def test_everything_that_is_served_is_described(tmp_path: Path) -> None:
    given = Given(tmp_path)
    site = Site(given.settings, set())
    app = web.Application()
    routes(app, site.context)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == {(route.method, route.path) for route in ROUTES}
    described = {
        (method.upper(), path)
        for path, methods in document(ROUTES)["paths"].items()
        for method in methods
    }
    internal = {(r.method, r.path) for r in ROUTES if r.scope is Scope.WORKER}
    assert described == served - internal
    assert all(path.startswith("/internal/") for _, path in internal)


async def test_commands_say_that_a_key_is_missing_and_not_that_no_worker_answers(
    tmp_path: Path,
) -> None:
    given = Given(tmp_path)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site):
        port = site.context.address.rpartition(":")[2]
        for key in ("", "wrong"):
            settings = load({"http_port": port, "api_key": key}, env={}, file=tmp_path / "none")
            line = worker_line(await worker_facts(settings))
            assert line.startswith("The worker wants a key that it knows (401)")
            assert "EMBERLINE_API_KEY" in line
            with pytest.raises(Fatal, match="401"):
                await fetch(settings, A, "ndjson", io.BytesIO())
        settings = load(
            {"http_port": port, "api_key": given.tokens[Scope.READ]},
            env={},
            file=tmp_path / "none",
        )
        assert "ready" in worker_line(await worker_facts(settings))
        with pytest.raises(Fatal, match=r"users\.export"):
            await fetch(settings, A, "ndjson", io.BytesIO())
        admin = {"http_port": port, "api_key": given.tokens[Scope.ADMIN]}
        settings = load(admin, env={}, file=tmp_path / "none")
        for wrong in (A.replace("campaign", "canvas"), A.replace("campaign", "campain")):
            with pytest.raises(Fatal, match=f"Did you mean {A}"):
                await fetch(settings, wrong, "ndjson", io.BytesIO())
    with pytest.raises(Fatal, match=r"No worker answers at http://127\.0\.0\.1:1: it cannot"):
        await fetch(load({"http_port": 1}, env={}, file=tmp_path / "none"), A, "csv", io.BytesIO())

"""Requests between workers: signed for one worker, valid once and for a short time; others are
refused.
"""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs, web
from yarl import URL

from agents.cli.audience import count
from agents.cli.export import fetch
from agents.http.keys import Keys, Scope
from agents.http.signature import HEADER, WINDOW_MS, Nonces, SignatureRefused, netloc, sign, verify
from agents.scatter import retry
from agents.scatter.wire import END, pack
from schemas.errors import EmberlineError
from streams.group.shard_plan import Directory, checked_address
from streams.settings import load
from tests.rigs.dummies import rows
from tests.rigs.given import Given
from tests.rigs.site import SHARDS, A, Site, active, serving

KEY = bytes(range(32))
NOW = 1_780_000_000_000
URL_ = URL(
    "http://10.0.0.1:6066/internal/shards/1/interactions?source=campaign:%C3%BC%20x&version=1"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE_S", 0.01)
    monkeypatch.setattr(retry, "RETRY_S", 0.1)


def check(header: str, **changed: Any) -> str:
    asked = {"key": KEY, "method": "GET", "host": "10.0.0.1:6066", "target": URL_.raw_path_qs,
             "nonces": Nonces(), "now_ms": NOW, **changed}  # fmt: skip
    return verify(header=header, **asked)


def test_a_signature_is_good_for_its_request_alone() -> None:
    header = sign(KEY, "GET", URL_, b"body", NOW)
    assert check(header)
    changes: list[dict[str, Any]] = [
        {"key": bytes(32)},
        {"key": b""},
        {"method": "POST"},
        {"host": "10.0.0.2:6066"},
        {"host": "10.0.0.1:6067"},
        {"target": URL_.raw_path_qs + "0"},
        {"target": URL_.raw_path},
        {"now_ms": NOW + WINDOW_MS + 1},
        {"now_ms": NOW - WINDOW_MS - 1},
    ]
    for change in changes:
        with pytest.raises(SignatureRefused):
            check(header, **change)
    for at in range(len(header)):
        for other in "0", "f", " ", "é":
            if header[at] != other:
                with pytest.raises(SignatureRefused):
                    check(header[:at] + other + header[at + 1 :])
    for shape in ("", "v1", header[3:], header + " ", header.upper(), f"{header}\n"):
        with pytest.raises(SignatureRefused):
            check(shape)
    assert check(header, now_ms=NOW + WINDOW_MS)
    assert check(header, now_ms=NOW - WINDOW_MS)


def test_a_request_is_taken_once_and_only_so_many_are_remembered() -> None:
    nonces = Nonces(most=3)
    header = sign(KEY, "GET", URL_, b"", NOW)
    check(header, nonces=nonces)
    with pytest.raises(SignatureRefused, match="before"):
        check(header, nonces=nonces)
    # one that came ahead of its time is remembered until the window behind it has passed
    ahead = sign(KEY, "GET", URL_, b"", NOW + WINDOW_MS)
    check(ahead, nonces=nonces)
    with pytest.raises(SignatureRefused, match="before"):
        check(ahead, nonces=nonces, now_ms=NOW + 2 * WINDOW_MS)
    check(sign(KEY, "GET", URL_, b"", NOW), nonces=nonces)
    with pytest.raises(SignatureRefused, match="more than 3"):
        check(sign(KEY, "GET", URL_, b"", NOW), nonces=nonces)
    later = NOW + 2 * WINDOW_MS + 1
    check(sign(KEY, "GET", URL_, b"", later), nonces=nonces, now_ms=later)


def test_hosts_have_one_spelling() -> None:
    assert netloc("http://Host.Example:1/x") == "host.example:1"
    assert netloc("http://[2001:DB8::1]:6066") == netloc("http://[2001:db8::1]:6066/internal")


async def test_what_is_not_signed_for_this_worker_is_refused(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    first, second = Site(given.settings, {0, 2}, active()), Site(given.settings, {1, 3}, active())
    keys = Keys.load(given.settings.keys_file)
    assert keys is not None
    async with serving(first, second) as session:
        url = URL(f"{first.context.address}/internal/shards/0/sizes")
        body = json.dumps({"sources": [A]}).encode()
        now = first.context.clock.now_ms

        async def ask(header: str, sent: bytes = body, **headers: str) -> int:
            told = {HEADER: header, **headers} if header else headers
            async with session.post(url, data=sent, headers=told) as answer:
                return answer.status

        good = sign(keys.signing_key, "POST", url, body, now())
        assert await ask(good) == 200
        assert await ask(good) == 401
        for bad in (
            "",
            sign(KEY, "POST", url, body, now()),
            sign(keys.signing_key, "POST", url / "x", body, now()),
            sign(keys.signing_key, "POST", url.with_port(second_port(second)), body, now()),
            sign(keys.signing_key, "POST", url, body, now() - WINDOW_MS - 1_000),
        ):
            assert await ask(bad) == 401
        assert await ask(sign(keys.signing_key, "POST", url, body, now()), body + b" ") == 401
        assert await ask("", Authorization=given.header(Scope.ADMIN)["Authorization"]) == 403
        # a signature opens nothing but what workers ask of each other
        public = URL(f"{first.context.address}/sources")
        header = {HEADER: sign(keys.signing_key, "GET", public, b"", now())}
        async with session.get(public, headers=header) as answer:
            assert answer.status == 401


def second_port(site: Site) -> int:
    found = URL(site.context.address).port
    assert found is not None
    return found


class Stranger:
    """Listens at an address that a member of the group claims, and keeps what it hears."""

    def __init__(self, answer: Callable[[web.Request], web.StreamResponse]) -> None:
        self.heard: list[web.Request] = []
        self._answer = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.heard.append(request)
        return self._answer(request)


async def listening(stranger: Stranger) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", stranger.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_a_foreign_worker_learns_nothing_that_it_could_sign_with(tmp_path: Path) -> None:
    """It is asked like a worker; what it hears is worth nothing at another worker, and it cannot
    send the asking one on to a third."""
    given = Given(tmp_path, http_rate=0)
    asking = Site(given.settings, {0, 2}, active())
    holding = Site(given.settings, {1, 3}, active())
    third = Stranger(lambda request: web.Response())
    elsewhere, third_url = await listening(third)
    stranger = Stranger(lambda request: web.Response(
        status=307, headers={hdrs.LOCATION: third_url + request.raw_path}))  # fmt: skip
    runner, claimed = await listening(stranger)
    try:
        async with serving(asking, holding) as session:
            where = dict(asking.manager.directory.shards) | {1: claimed, 3: claimed}
            asking.manager.directory = Directory(where, claimed)
            for path in ("/analytics", "/interactions", ""):
                async with session.get(asking.path(path), headers=given.header(Scope.ADMIN)) as got:
                    assert got.status == (503 if path else 200)
            key = given.tokens[Scope.ADMIN]
            secret = Keys.load(given.settings.keys_file)
            assert secret is not None
            for request in stranger.heard:
                told = str(request.headers) + request.raw_path
                assert hdrs.AUTHORIZATION not in request.headers
                assert key not in told
                assert secret.secret not in told
                assert secret.signing_key.hex() not in told
                relayed = holding.context.address + request.raw_path
                async with session.request(
                    request.method,
                    URL(relayed, encoded=True),
                    data=await request.read(),
                    headers={HEADER: request.headers[HEADER]},
                ) as answer:
                    assert answer.status == 401
            assert stranger.heard
            assert not third.heard
    finally:
        await runner.cleanup()
        await elsewhere.cleanup()


ADDRESSES = ["https://10.0.0.1:6066", "http://10.0.0.1:6066", "http://worker-1.example:1", "http://[::1]:6066",
             "http://under_score:65535"]  # fmt: skip
NONE: list[object] = ["", "http://10.0.0.1", "http://u:p@10.0.0.1:6066",
        "http://u@host:1", "http://host:1/", "http://host:1/x", "http://host:1?x", "http://host:1#x",
        "http://host:0", "http://host:65536", "http://host:99999999", "http:host:1", "//host:1",
        "file:///etc/passwd", "http://host:1\r\nX: y", "http://ho st:1", "http://host:\uff11",
        "http://-h:1", None, 7, ["http://host:1"], {}]  # fmt: skip


def test_what_a_member_claims_is_an_address_or_nothing() -> None:
    assert [checked_address(text) for text in ADDRESSES] == ADDRESSES
    assert [checked_address(text) for text in NONE] == [""] * len(NONE)
    claimed = {str(p): text for p, text in enumerate([*ADDRESSES, *NONE])}
    data = json.dumps({"shards": claimed, "control": "http://a@b:1"}).encode()
    assert Directory.decode(data) == Directory(dict(enumerate(ADDRESSES)), "")


async def test_many_users_are_asked_of_another_worker(tmp_path: Path) -> None:
    """A body of some megabytes, signed and checked as a whole."""
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    users = rows(A, *(f"{n:020}" for n in range(50_000))).select("user")
    async with serving(site):
        url = f"{site.context.address}/internal/shards/0/identify"
        async with site.context.peers.ask("POST", url, body=pack(users) + END) as answer:
            assert answer.status == 200
        for path in ("shards/0/identify", "shards/0/users", "shards/0/find", "shards/0/sizes"):
            url = f"{site.context.address}/internal/{path}"
            for nonsense in (b"nonsense", b"[]", b"{}", b'{"users": 1, "sources": "a"}'):
                async with site.context.peers.ask("POST", url, body=nonsense) as answer:
                    assert answer.status == 400, (path, nonsense)


async def test_without_keys_nothing_is_signed(tmp_path: Path) -> None:
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    settings = load(flags, env={}, file=tmp_path / "none")
    site = Site(dataclasses.replace(settings), set(range(SHARDS)), active())
    async with serving(site) as session:
        body = json.dumps({"sources": [A]}).encode()
        url = f"{site.context.address}/internal/shards/0/sizes"
        async with site.context.peers.ask("POST", url, body=body) as answer:
            assert answer.status == 200
            assert HEADER not in answer.request_info.headers
        with pytest.raises(aiohttp.ClientError):
            async with site.context.peers.ask("POST", "http://127.0.0.1:1/internal/shards/0/sizes"):
                pass
        assert session


async def test_a_command_follows_no_redirect_with_its_key(tmp_path: Path) -> None:
    third = Stranger(lambda request: web.json_response({"count": 1, "excluded_expired": []}))
    elsewhere, third_url = await listening(third)
    stranger = Stranger(lambda request: web.Response(
        status=307, headers={hdrs.LOCATION: third_url + request.raw_path}))  # fmt: skip
    runner, url = await listening(stranger)
    try:
        flags = {"http_port": url.rpartition(":")[2], "api_key": "emb_secret"}
        settings = load(flags, env={}, file=tmp_path / "none")
        with pytest.raises(EmberlineError, match="307"):
            await count(settings, {"filter": {}, "limit": 0})
        with pytest.raises(EmberlineError, match="307"):
            await fetch(settings, A, "ndjson", io.BytesIO())
        assert len(stranger.heard) == 2
        assert not third.heard
    finally:
        await runner.cleanup()
        await elsewhere.cleanup()

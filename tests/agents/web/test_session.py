"""Browsers sign in with a key: a cookie that is signed, bounded in time, and ends with the key."""

import asyncio
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from agents.http.attempts import Attempts
from agents.http.keys import Keys, Scope
from agents.http.session import SESSION_S, EndedSessions, begin, find
from agents.web.sign_in import COOKIE
from streams.clock import ManualClock
from streams.group.shard_plan import Directory
from streams.settings import load
from tests.rigs.given import Given
from tests.rigs.site import SHARDS, Site, active, serving

NOW = 1_700_000_000_000


def keys_of_two() -> Keys:
    keys, _ = Keys(secret="s" * 64).add("ann", [Scope.READ], NOW)
    return keys.add("ops", [Scope.OPERATE], NOW)[0]


def test_a_session_is_its_key_until_its_time_is_over_or_the_key_is_revoked() -> None:
    keys, ended = keys_of_two(), EndedSessions()
    text = begin(keys, keys.keys[1], NOW)
    found = find(keys, text, ended, NOW)
    assert found is not None
    assert (found.key.name, found.until) == ("ops", NOW + SESSION_S * 1000)
    assert find(keys, text, ended, found.until - 1) is not None
    assert find(keys, text, ended, found.until) is None
    assert find(keys.revoke("ops"), text, ended, NOW) is None
    assert find(replace(keys, secret="t" * 64), text, ended, NOW) is None
    assert find(replace(keys, secret=""), text, ended, NOW) is None


def test_a_session_that_was_changed_in_any_place_is_none() -> None:
    keys = keys_of_two()
    text = begin(keys, keys.keys[0], NOW)
    for at in range(len(text)):
        changed = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
        assert find(keys, changed, EndedSessions(), NOW) is None, at
    for other in ("", "v1", text + "0", f"{text}\n", text.upper()):
        assert find(keys, other, EndedSessions(), NOW) is None


def test_ended_sessions_are_bounded_and_none_of_them_is_valid_again() -> None:
    keys, ended = keys_of_two(), EndedSessions(most=2)
    ann, ops = keys.keys
    texts = [begin(keys, ann, NOW + at) for at in range(5)]
    ending, later, others = texts[:4], texts[4], begin(keys, ops, NOW)
    for text in ending:
        session = find(keys, text, ended, NOW + 5)
        assert session is not None
        ended.end(ann.hash, session.nonce, session.until, NOW + 5)
    assert not any(find(keys, text, ended, NOW + 5) for text in ending)
    assert len(ended._by_key[ann.hash].nonces) == 2
    # a session that began later, and those of other keys, go on
    assert find(keys, later, ended, NOW + 5) is not None
    assert find(keys, others, ended, NOW + 5) is not None
    # what is over anyway is forgotten
    ended.end(ops.hash, "0" * 32, NOW + 2 * SESSION_S * 1000, NOW + SESSION_S * 1000 + 5)
    assert ended._by_key.keys() == {ops.hash}


def test_attempts_are_limited_by_address_and_addresses_in_number() -> None:
    attempts = Attempts(rate=5, most=3)
    assert sum(attempts.wait("a", 0.0) == 0 for _ in range(100_000)) == 10
    assert attempts.wait("b", 0.0) == 0
    assert attempts.wait("a", 1.0) == 0
    for address in "cdefgh":
        attempts.wait(address, 1.0)
    assert len(attempts._buckets) == 3


async def ask(
    session: aiohttp.ClientSession,
    site: Site,
    method: str = "GET",
    path: str = "/session",
    cookie: str = "",
    origin: str | None = "",
    **more: Any,
) -> tuple[int, Any, aiohttp.ClientResponse]:
    """`origin`: empty for the page's own, None for none."""
    headers = {} if origin is None else {"Origin": origin or site.context.address}
    headers |= {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
    headers |= more.pop("headers", {})
    async with session.request(
        method, site.context.address + path, headers=headers, **more
    ) as answer:
        return answer.status, await answer.json(content_type=None), answer


async def test_a_browser_signs_in_works_and_signs_out(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with (
        serving(site) as _,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        status, found, _ = await ask(session, site)
        assert (status, found["keys"], found["name"]) == (200, True, None)
        status, found, answer = await ask(
            session, site, "POST", json={"key": given.tokens[Scope.OPERATE]}
        )
        assert (status, found["scopes"]) == (200, ["operate"])
        morsel = answer.cookies[COOKIE]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
        assert not morsel["secure"]
        assert given.tokens[Scope.OPERATE] not in morsel.value
        cookie = morsel.value
        assert (await ask(session, site, cookie=cookie))[1]["name"] == found["name"]
        # the scope counts as with the key itself
        assert (await ask(session, site, path="/sources", cookie=cookie))[0] == 403
        path, evil = "/sweep/pause?wait=0", "http://evil.example"
        for refused in ({"origin": None}, {"origin": evil}, {"origin": "null"}):
            status, found, _ = await ask(session, site, "POST", path, cookie, **refused)
            assert (status, found["code"]) == (403, "cross_site")
        headers = {"Sec-Fetch-Site": "cross-site"}
        assert (await ask(session, site, cookie=cookie, headers=headers))[0] == 403
        assert (await ask(session, site, "POST", path, cookie))[0] in (200, 202)
        assert (await ask(session, site, "DELETE", cookie=cookie, origin=evil))[0] == 403
        status, found, answer = await ask(session, site, "DELETE", cookie=cookie)
        assert (status, found["name"], answer.cookies[COOKIE].value) == (200, None, "")
        # who kept the cookie has nothing of it
        assert (await ask(session, site, "POST", path, cookie))[0] == 401
        assert (await ask(session, site, cookie=cookie))[1]["name"] is None


async def test_a_session_ends_with_its_key(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        _, found, answer = await ask(session, site, "POST", json={"key": given.tokens[Scope.READ]})
        cookie = answer.cookies[COOKIE].value
        assert (await ask(session, site, path="/sources", cookie=cookie))[0] == 200
        name = found["name"]
        await asyncio.to_thread(
            Keys.change, given.settings.keys_file, lambda keys: keys.revoke(name)
        )
        site.context.keyring._looked_at = float("-inf")
        assert (await ask(session, site, path="/sources", cookie=cookie))[0] == 401


async def test_wrong_keys_and_other_sites_get_no_session(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    body = {"key": given.tokens[Scope.READ]}
    async with serving(site) as session:
        for origin in (None, "http://evil.example"):
            assert (await ask(session, site, "POST", origin=origin, json=body))[0] == 403
        for wrong in ({"key": "emb_nonsense"}, {"key": ""}, {"key": 1}, {}, {"key": "x", "y": 1}):
            status, _, answer = await ask(session, site, "POST", json=wrong)
            assert status in (400, 401)
            assert COOKIE not in answer.cookies
        assert (await ask(session, site, "POST", json={"key": "x" * 10_000}))[0] == 413
        for _ in range(10):
            status, found, answer = await ask(session, site, "POST", json={"key": "x"})
        assert (status, found["code"]) == (429, "too_many_requests")
        assert int(answer.headers["Retry-After"]) == 1


async def test_an_encrypted_connection_gets_a_cookie_for_encrypted_connections(
    tmp_path: Path,
) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        origin = site.context.address.replace("http:", "https:")
        body = {"key": given.tokens[Scope.READ]}
        _, _, answer = await ask(session, site, "POST", origin=origin, json=body)
        assert answer.cookies[COOKIE]["secure"]


async def test_without_keys_there_is_nothing_to_sign_in_to(tmp_path: Path) -> None:
    flags = {"partitions": SHARDS, "data_dir": tmp_path, "keys_file": tmp_path / "none"}
    site = Site(load(flags, env={}, file=tmp_path / "none"), set(range(SHARDS)), active())
    async with serving(site) as session:
        status, found, _ = await ask(session, site)
        assert (status, found["keys"], found["name"]) == (200, False, None)
        assert "operate" in found["scopes"]
        assert (await ask(session, site, "POST", json={"key": "x"}))[0] == 400
        assert (await ask(session, site, "DELETE"))[0] == 200


async def test_a_worker_that_starts_again_knows_which_sessions_ended(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    key, file = {"key": given.tokens[Scope.READ]}, tmp_path / "ended_sessions.json"
    async with serving(site) as session:
        cookies = []
        for _ in range(3):
            _, _, answer = await ask(session, site, "POST", json=key)
            cookies.append(answer.cookies[COOKIE].value)
        await asyncio.gather(
            *(ask(session, site, "DELETE", cookie=cookie) for cookie in cookies[:2])
        )
    assert file.stat().st_mode & 0o077 == 0
    for damage in (False, True):
        if damage:
            file.write_bytes(file.read_bytes()[:-3])
        site = Site(given.settings, set(range(SHARDS)), active())
        async with serving(site) as session:
            statuses = [
                (await ask(session, site, path="/sources", cookie=cookie))[0] for cookie in cookies
            ]
            # where nobody knows which sessions ended, all have
            assert statuses == [401, 401, 401 if damage else 200]
            # who signs in now goes on
            _, _, answer = await ask(session, site, "POST", json=key)
            cookie = answer.cookies[COOKIE].value
            assert (await ask(session, site, path="/sources", cookie=cookie))[0] == 200


async def test_a_session_that_ends_at_one_worker_ends_at_all(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    first, second = (Site(given.settings, shards, active()) for shards in ({0, 2}, {1, 3}))
    key = {"key": given.tokens[Scope.READ]}
    async with serving(first, second) as session:
        _, _, answer = await ask(session, first, "POST", json=key)
        cookie = answer.cookies[COOKIE].value
        assert (await ask(session, second, cookie=cookie))[1]["name"] == "read"
        status, found, _ = await ask(session, first, "DELETE", cookie=cookie)
        assert (status, found["everywhere"]) == (200, True)
        assert (await ask(session, second, cookie=cookie))[1]["name"] is None
        assert (await ask(session, second, path="/sources", cookie=cookie))[0] == 401
        # a worker that nobody reaches does not know, and the answer says so
        _, _, answer = await ask(session, first, "POST", json=key)
        cookie = answer.cookies[COOKIE].value
        first.manager.directory = Directory({1: "http://127.0.0.1:1"}, "")
        status, found, _ = await ask(session, first, "DELETE", cookie=cookie)
        assert (status, found["everywhere"]) == (200, False)
        assert (await ask(session, first, path="/sources", cookie=cookie))[0] == 401
        # nobody but a worker ends the sessions of others
        told = {"key": "0" * 64, "nonce": "0" * 32, "until": 1}
        status, _, _ = await ask(session, first, "POST", "/internal/ended_sessions", json=told)
        assert status == 401


async def test_no_replayed_or_made_up_cookie_is_a_key(tmp_path: Path) -> None:
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    keys = Keys.load(given.settings.keys_file)
    assert keys is not None
    now = site.context.clock.now_ms()
    good = begin(keys, keys.keys[0], now)
    others, _ = Keys().add(keys.keys[0].name, [Scope.ADMIN], 1)
    kind, hashed, until, nonce, mac = good.split(".")
    replayed = {
        "expired": begin(keys, keys.keys[0], now - SESSION_S * 1000),
        "of another keys file": begin(replace(others, secret="t" * 64), others.keys[0], now),
        "with the hash of another key": ".".join((kind, keys.keys[3].hash, until, nonce, mac)),
        "prolonged": ".".join((kind, hashed, str(int(until) + 1), nonce, mac)),
        "cut": good[:-1],
        "the key itself": given.tokens[Scope.ADMIN],
        "long": "v1." + "0" * 6_000,
    }
    async with serving(site) as session:
        assert (await ask(session, site, path="/sources", cookie=good))[0] == 200
        for name, cookie in replayed.items():
            status, _, _ = await ask(session, site, path="/sources", cookie=cookie)
            assert status == 401, name
            assert (await ask(session, site, cookie=cookie))[1]["name"] is None, name


async def test_many_wrong_keys_are_refused_quickly_and_keep_nobody_out(tmp_path: Path) -> None:
    """Through a proxy all come from one address. 100,000 took 18 s of one core with the client's
    own work.
    """
    given = Given(tmp_path, http_rate=0)
    site = Site(given.settings, set(range(SHARDS)), active())
    site.context.clock = ManualClock(1_767_225_600_000)  # no attempt more, however long it takes
    tries, connections = 10_000, 4
    async with serving(site) as session:
        host = site.context.address.removeprefix("http://")
        body = b'{"key": "emb_wrong"}'
        request = (
            f"POST /session HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        counts: Counter[str] = Counter()

        async def attack() -> None:
            name, _, port = host.partition(":")
            reader, writer = await asyncio.open_connection(name, int(port))
            for _ in range(tries // connections):
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                counts[head.split()[1]] += 1
                (length,) = re.findall(r"Content-Length: (\d+)", head)
                await reader.readexactly(int(length))
            writer.close()
            await writer.wait_closed()

        async with asyncio.timeout(60):
            await asyncio.gather(*(attack() for _ in range(connections)))
        assert set(counts) == {"401", "429"}
        assert counts.total() == tries
        assert counts["401"] < tries / 20
        assert len(site.context.sign_ins._buckets) == 1
        key = {"key": given.tokens[Scope.READ]}
        assert (await ask(session, site, "POST", json=key))[0] == 200

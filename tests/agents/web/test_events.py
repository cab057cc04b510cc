"""What changes, told to listeners: each thing once, resumable, and never more than two a second."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.http import keyring
from agents.http.keys import Keys, Scope
from agents.http.session import SESSION_S, EndedSessions, begin, find
from agents.requests import events
from agents.requests.changes import Position
from agents.web.sign_in import COOKIE
from agents.web.sign_out import note_ended
from schemas.records.lifecycle import SourceState, State
from streams.clock import ManualClock
from tests.rigs.desk import DAY, MONTH3
from tests.rigs.dummies import until
from tests.rigs.site import Site, serving, settings

A, B = "campaign:a", "campaign:b"
DEADLINE_S = 20


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "TICK_S", 0.01)


class Listener:
    """One stream, event by event."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.comments = 0
        self.id = ""

    async def next(self) -> tuple[str, Any]:
        """The next event, its name and its data."""
        found: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE_S):
            async for raw in self._answer.content:
                line = raw.decode().rstrip("\n")
                self.comments += line.startswith(":")
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    found[name] = value
                elif "data" in found:
                    self.id = found.get("id", self.id)
                    return found["event"], json.loads(found["data"])
        raise EOFError


@asynccontextmanager
async def listening(
    session: aiohttp.ClientSession, site: Site, **headers: str
) -> AsyncIterator[Listener]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.get(f"{site.context.address}/events", headers=given) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield Listener(answer)


def site_of(folder: Path, **more: Any) -> Site:
    records = [SourceState(A, State.ACTIVE, 1, name="Spring"), SourceState(B, State.EXPIRED, 2)]
    return Site(settings(folder, **more), {0}, *records)


async def test_a_listener_learns_where_things_stand_and_what_changes(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    site.paper.desk.expired(B)
    await site.paper.tell()
    async with serving(site) as session, listening(session, site) as listener:
        name, data = await listener.next()
        assert (name, data["requests"]) == ("hello", [])
        assert data["totals"]["sources"] == {"ACTIVE": 1, "EXPIRED": 1}
        site.states.put(SourceState(A, State.STOPPED, 2, name="Spring", due_at=9))
        name, data = await listener.next()
        assert (name, [one["source"] for one in data["sources"]]) == ("change", [A])
        assert (data["sources"][0]["name"], data["sources"][0]["due_at"]) == ("Spring", 9)
        assert data["totals"]["sources"] == {"STOPPED": 1, "EXPIRED": 1}
        site.paper.desk.command("restore", B, request_id="r")
        await site.paper.tell()
        name, data = await listener.next()
        assert [(one["request_id"], one["state"]) for one in data["requests"]] == [("r", "running")]
        assert data["totals"]["requests_running"] == 1
        assert data["sources"] == []


async def test_progress_of_a_source_is_a_change_of_it(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    desk = site.paper.desk
    desk.expired(B)
    desk.command("restore", B, request_id="r")
    site.states.put(desk.source(B).shown())
    await site.paper.tell()
    async with serving(site) as session, listening(session, site) as listener:
        assert (await listener.next())[0] == "hello"
        desk.now += 2_000
        desk.report(B, 0)
        await site.paper.tell()
        _, data = await listener.next()
        assert data["sources"][0]["progress"]["done"] == 1
        assert data["requests"][0]["request_id"] == "r"


async def test_a_listener_resumes_at_any_worker_with_what_it_missed(tmp_path: Path) -> None:
    first, second = site_of(tmp_path), site_of(tmp_path)
    async with serving(first, second) as session:
        async with listening(session, first) as listener:
            await listener.next()
            first.states.put(SourceState(A, State.STOPPED, 2))
            await listener.next()
            known = listener.id
        first.states.put(SourceState(B, State.RESTORING, 3))
        # the other one has not read A's change yet, and must not tell what was before it
        async with listening(session, second, Last_Event_ID=known) as listener:
            second.states.put(SourceState(A, State.STOPPED, 2))
            second.states.put(SourceState(B, State.STOPPED, 4))
            name, data = await listener.next()
        assert (name, [(one["source"], one["state"]) for one in data["sources"]]) == (
            "change",
            [(B, "STOPPED")],
        )
        async with listening(session, first, Last_Event_ID=known) as listener:
            _, data = await listener.next()
        assert [(one["source"], one["state"]) for one in data["sources"]] == [(B, "RESTORING")]


async def test_one_that_knows_more_than_there_is_reads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "AHEAD_S", 0.05)
    site = site_of(tmp_path)
    async with serving(site) as session:
        async with listening(session, site, Last_Event_ID="999-999") as listener:
            name, data = await listener.next()
            assert (name, data["totals"]["requests_running"]) == ("reload", 0)
        # neither the header nor the parameter may be anything else, also if the other is an id
        for header, since in (
            ({}, "5"),
            ({"Last-Event-ID": "1-1"}, "5"),
            ({"Last-Event-ID": "5"}, "1-1"),
        ):
            url = f"{site.context.address}/events?since={since}"
            async with session.get(url, headers=header) as answer:
                assert answer.status == 400


async def test_too_many_changes_are_told_as_one(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    async with serving(site) as session, listening(session, site) as listener:
        await listener.next()
        known = listener.id
        site.states.put(*(SourceState(f"campaign:{n}", State.ACTIVE, 1) for n in range(501)))
        name, data = await listener.next()
        assert (name, data["totals"]["sources"]["ACTIVE"]) == ("reload", 502)
        site.states.put(SourceState(A, State.STOPPED, 2))
        assert (await listener.next())[0] == "change"
        async with listening(session, site, Last_Event_ID=known) as late:
            assert (await late.next())[0] == "reload"


@pytest.mark.parametrize(
    ("listeners", "expected"), [(1, 0.5), (500, 0.5), (800, 0.8), (1_000, 1.0), (100_000, 1.0)]
)
def test_many_listeners_are_told_less_often_but_every_second(
    listeners: int, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "TICK_S", 0.5)
    assert events.tick_s(listeners) == expected


async def test_an_event_is_made_once_for_all_listeners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = events._event

    def counted(name: str, *rest: Any) -> bytes:
        made.append(name)
        return make(name, *rest)

    monkeypatch.setattr(events, "_event", counted)
    monkeypatch.setattr(events, "TICK_S", 0.5)
    site = site_of(tmp_path)
    async with serving(site) as session:
        begun = [await session.get(f"{site.context.address}/events") for _ in range(20)]
        listeners = [Listener(answer) for answer in begun]
        for listener in listeners:
            assert (await listener.next())[0] == "hello"
        assert made.count("hello") <= 2
        for version in range(2, 6):  # four changes within a tick or two
            site.states.put(SourceState(A, State.ACTIVE, version))
        for listener in listeners:
            _, data = await listener.next()
            assert data["sources"][0]["version"] == 5
        assert made.count("change") == 1
        for answer in begun:
            answer.close()


async def test_a_slow_listener_is_dropped_with_a_reason_and_may_resume(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    hub = site.context.events

    def told(events: int) -> bool:
        return hub._next >= events

    with hub.place(None):
        slow = hub.events(None, lambda: True)
        assert (await anext(slow)).startswith(b"retry")
        first = await anext(slow)
        for version in range(2, 2 + events.HELD + 1):
            site.states.put(SourceState(A, State.ACTIVE, version))
            await until(partial(told, version - 1))
        last = await anext(slow)
        assert last.startswith(b"event: dropped\n")
        assert b"too slowly" in last
        with pytest.raises(StopAsyncIteration):
            await anext(slow)
        known = first.split(b"id: ")[1].split(b"\n")[0].decode()
        found = Position.parse(known)
        again = hub.events(found, lambda: True)
        await anext(again)
        assert b'"version":%d' % (1 + events.HELD + 1) in await anext(again)
        await again.aclose()
    assert hub.listeners == 0
    assert hub._task is None


async def test_beats_say_how_old_the_states_are_while_nothing_changes(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    async with serving(site) as session:
        for wrong in ("0", "16", "x", ""):
            async with session.get(f"{site.context.address}/events?beat={wrong}") as answer:
                assert answer.status == 400, wrong
        async with session.get(f"{site.context.address}/events?beat=1") as answer:
            listener = Listener(answer)
            name, data = await listener.next()
            assert (name, data["age_s"] < 7) == ("hello", True)
            known = listener.id
            # no broker answers the worker any more
            site.states.silent_s = lambda: 7.5
            name, data = await listener.next()
            assert (name, 7.5 <= data["age_s"] < 60) == ("beat", True)
            assert listener.id == known
            site.states.put(SourceState(A, State.STOPPED, 2))
            name, data = await listener.next()
            assert (name, data["age_s"] >= 7.5) == ("change", True)


async def test_a_revoked_key_ends_its_streams_and_a_quiet_one_is_kept_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT_S", 0.02)
    monkeypatch.setattr(keyring, "LOOK_AGAIN_S", 0.01)
    file = tmp_path / "keys.json"
    keys, token = Keys().add("ann", [Scope.READ], 1)
    keys, operates = keys.add("bob", [Scope.OPERATE], 1)
    keys.save(file)
    site = site_of(tmp_path, keys_file=file)
    async with serving(site) as session:
        async with session.get(
            f"{site.context.address}/events", headers={"Authorization": f"Bearer {operates}"}
        ) as answer:
            assert answer.status == 403
        async with listening(session, site, Authorization=f"Bearer {token}") as listener:
            assert (await listener.next())[0] == "hello"
            Keys.change(file, lambda former: former.revoke("ann"))
            name, data = await listener.next()
            assert (name, "not valid" in data["reason"]) == ("dropped", True)
            assert listener.comments
            with pytest.raises(EOFError):
                await listener.next()


@pytest.mark.parametrize("how", ["signs out", "signs out elsewhere", "is over"])
async def test_a_stream_ends_with_the_session_of_its_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    file = tmp_path / "keys.json"
    keys, _ = Keys().add("ann", [Scope.READ], 1)
    keys.save(file)
    loaded = Keys.load(file)
    assert loaded is not None
    site = site_of(tmp_path, keys_file=file)
    now = site.context.clock.now_ms
    cookie = f"{COOKIE}={begin(loaded, loaded.keys[0], now())}"
    other = f"{COOKIE}={begin(loaded, loaded.keys[0], now())}"
    if how == "is over":
        monkeypatch.setattr(events, "BEAT_S", 0.02)
    # another session of the same key goes on
    async with (
        serving(site) as session,
        listening(session, site, Cookie=cookie) as listener,
        listening(session, site, Cookie=other) as stays,
    ):
        assert (await listener.next())[0] == "hello"
        assert (await stays.next())[0] == "hello"
        if how == "signs out":
            headers = {"Cookie": cookie, "Origin": site.context.address}
            async with session.delete(f"{site.context.address}/session", headers=headers) as answer:
                assert answer.status == 200
        elif how == "signs out elsewhere":
            found = find(loaded, cookie.partition("=")[2], EndedSessions(), now())
            assert found is not None
            told = {"key": found.key.hash, "nonce": found.nonce, "until": found.until}
            await note_ended(site.context, json.dumps(told).encode())
        else:
            site.context.clock = ManualClock(now() + SESSION_S * 1000)
        name, data = await listener.next()
        assert (name, "session" in data["reason"]) == ("dropped", True)
        with pytest.raises(EOFError):
            await listener.next()
        if how != "is over":
            site.states.put(SourceState(A, State.ACTIVE, 9))
            assert (await stays.next())[0] == "change"


async def test_a_stream_that_began_without_keys_ends_when_there_are_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT_S", 0.02)
    monkeypatch.setattr(keyring, "LOOK_AGAIN_S", 0.01)
    file = tmp_path / "keys.json"
    site = site_of(tmp_path, keys_file=file)
    async with serving(site) as session, listening(session, site) as listener:
        assert (await listener.next())[0] == "hello"
        Keys().add("ann", [Scope.READ], 1)[0].save(file)
        assert (await listener.next())[0] == "dropped"


async def test_events_tell_nobody_who_gets_mail(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    site.paper.desk.expired(A)
    await site.paper.tell()
    async with serving(site) as session, listening(session, site) as listener:
        await listener.next()
        body = {"sources": [A], "notify": ["ann@example.com"]}
        async with session.post(f"{site.context.address}/restores", json=body) as answer:
            assert (await answer.json())["notify"] == ["ann@example.com"]
        name, data = await listener.next()
        while not data.get("requests"):
            name, data = await listener.next()
        assert (name, data["requests"][0]["notify"]) == ("change", None)
        async with listening(session, site) as later:
            name, data = await later.next()
            assert (name, data["requests"][0]["notify"]) == ("hello", None)


async def test_listeners_are_limited(tmp_path: Path) -> None:
    site = site_of(tmp_path, http_connections=8)
    async with serving(site) as session:
        held = [await session.get(f"{site.context.address}/events") for _ in range(4)]
        async with session.get(f"{site.context.address}/events") as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "busy")
        for answer in held:
            answer.close()
        await until(lambda: not site.context.events.listeners)
        assert site.context.events._task is None


async def test_a_worker_that_ends_ends_its_streams_and_begins_none(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    async with serving(site) as session, listening(session, site) as listener:
        await listener.next()
        site.context.events.close()
        assert (await listener.next())[0] == "dropped"
        # a listener comes back at once, also to a worker that still ends
        async with session.get(f"{site.context.address}/events") as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "busy")
        await until(lambda: not site.context.events.listeners)


async def test_one_that_fails_ends_the_streams_instead_of_leaving_them_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path)
    async with serving(site) as session, listening(session, site) as listener:
        await listener.next()

        def broken() -> dict[str, int]:
            raise RuntimeError("broken")

        monkeypatch.setattr(site.states, "counts", broken)
        name, data = await listener.next()
        assert (name, "another" in data["reason"]) == ("dropped", True)


class WaitsTooOften(AssertionError):
    """Something waits for what has happened already, so no other task ever runs."""


@pytest.fixture
def waits_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test in which listeners wait for the next event very often: before, that went on for
    ever, and nothing else ran."""
    wait, count = events.EventHub._wait, 0

    async def counted(hub: events.EventHub, seconds: float) -> bool:
        nonlocal count
        count += 1
        if count > 2_000:
            raise WaitsTooOften
        return await wait(hub, seconds)

    monkeypatch.setattr(events.EventHub, "_wait", counted)


@pytest.mark.usefixtures("waits_seldom")
async def test_after_an_error_the_worker_serves_and_the_next_listener_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = site_of(tmp_path)
    counts = site.states.counts
    async with serving(site) as session:
        async with listening(session, site) as listener:
            await listener.next()
            monkeypatch.setattr(site.states, "counts", lambda: 1 / 0)
            assert (await listener.next())[0] == "dropped"
            monkeypatch.setattr(site.states, "counts", counts)
        for known in ({}, {"Last_Event_ID": "999999-999999"}):
            monkeypatch.setattr(events, "AHEAD_S", 0.05)
            async with listening(session, site, **known) as again:
                assert (await again.next())[0] == ("reload" if known else "hello")
                site.states.put(SourceState(A, State.ACTIVE, 7 + len(known)))
                assert (await again.next())[1]["sources"][0]["version"] == 7 + len(known)
    (told,) = [one for one in caplog.records if one.name == "agents.requests.events"]
    assert told.exc_info is not None
    assert "GET /events" in told.getMessage()


@pytest.mark.usefixtures("waits_seldom")
async def test_a_listener_does_not_go_on_with_a_task_that_did_not_see_what_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path)
    hub = site.context.events
    with hub.place(None):
        former = hub.events(None, lambda: True)
        ahead = hub.events(Position(10**6, 0), lambda: True)
        await anext(former)
        await anext(former)
        await anext(ahead)
        waiting = [asyncio.create_task(anext(one)) for one in (former, ahead)]
        first = hub._task
        assert first is not None
        with monkeypatch.context() as patch:
            patch.setattr(site.states, "counts", lambda: 1 / 0)
            await asyncio.wait([first], timeout=DEADLINE_S)
        site.states.put(SourceState(A, State.ACTIVE, 9))  # before the next task begins
        with hub.place(None):
            for one in waiting:
                assert (await asyncio.wait_for(one, DEADLINE_S)).startswith(b"event: dropped\n")
    assert hub.listeners == 0


async def test_a_place_that_cannot_be_prepared_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path)
    monkeypatch.setattr(site.states, "counts", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError), site.context.events.place(None):
        pass
    assert site.context.events.listeners == 0


async def test_a_stream_ends_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_S", 0.05)
    site = site_of(tmp_path)
    site.paper.desk.tick(MONTH3 + DAY)
    async with serving(site) as session, listening(session, site) as listener:
        assert (await listener.next())[0] == "hello"
        assert (await listener.next())[0] == "dropped"

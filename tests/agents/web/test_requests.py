"""Commands over real HTTP, read by a coordinator on paper."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.http.keys import Keys, Scope
from agents.requests import commands
from agents.web import asking, command_match
from agents.web.routes import requests as routes
from schemas.records import codec
from schemas.records.lifecycle import Command, Phase, SourceState, State
from tests.rigs.desk import DAY, MONTH3
from tests.rigs.dummies import until
from tests.rigs.site import Site, serving, settings

A, B, C = "campaign:a", "campaign:b", "canvas:c"


class Operator:
    """Calls one worker; `desk` is the coordinator that reads what it is sent."""

    def __init__(self, site: Site, session: aiohttp.ClientSession) -> None:
        self.site = site
        self.desk = site.paper.desk
        self.session = session
        self.headers: dict[str, str] = {}

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        given = {name.replace("_", "-"): value for name, value in headers.items()} | self.headers
        url = self.site.context.address + path
        async with self.session.post(url, json=body, headers=given) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        given = {name.replace("_", "-"): value for name, value in headers.items()} | self.headers
        url = self.site.context.address + path
        async with self.session.get(url, headers=given) as answer:
            body = await answer.json(content_type=None) if answer.status != 304 else None
            return answer.status, body, answer.headers


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    """A has expired, B is stopped, C is active; all have the tag `t`."""
    records = [
        SourceState(A, State.EXPIRED, 3, name="Spring", tags=("t",)),
        SourceState(B, State.STOPPED, 2, due_at=77, tags=("t",)),
        SourceState(C, State.ACTIVE, 1, tags=("t",)),
    ]
    site = Site(settings(tmp_path), set(range(4)), *records)
    desk = site.paper.desk
    desk.expired(A, tags=("t",))
    desk.define(B, "STOPPED", tags=("t",))
    desk.define(C, tags=("t",))
    await site.paper.tell()
    async with serving(site) as session:
        yield Operator(site, session)


@pytest.mark.parametrize(
    ("kind", "dry_run"), [("restore", False), ("restore", True), ("expire", True)]
)
async def test_a_request_of_many_sources_is_described_outside_the_event_loop(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, kind: str, dry_run: bool
) -> None:
    threads: list[int] = []
    made = asking._described

    def noted(*given: Any) -> Any:
        threads.append(threading.get_ident())
        return made(*given)

    monkeypatch.setattr(asking, "_described", noted)
    body = {"type": kind, "sources": [A, B, "campaign:none"], "dry_run": dry_run}
    _, _, headers = await operator.post("/requests", body)
    _, few, _ = await operator.get(headers["Location"])
    monkeypatch.setattr(asking, "_AT_ONCE", 2)
    _, many, _ = await operator.get(headers["Location"])
    assert (many, len(many["sources"])) == (few, 3)
    assert threads[-1] != threading.get_ident()
    assert (threads[-2] == threading.get_ident()) is not dry_run, "it may look at many requests"


async def test_a_restore_is_accepted_and_looked_at(operator: Operator) -> None:
    body = {"sources": [A, "campaign:none"], "reason": "again", "notify": ["ann@example.com"]}
    status, found, headers = await operator.post("/restores", body)
    assert status == 202
    assert headers["Location"] == f"/restores/{found['request_id']}"
    assert (found["state"], found["reason"], found["actor"]) == (
        "running",
        "again",
        "local (unverified)",
    )
    assert found["notify"] == ["ann@example.com"]
    first, second = found["sources"]
    assert (first["source"], first["name"], first["outcome"]) == (A, "Spring", "accepted")
    assert (second["outcome"], second["code"]) == ("refused", "unknown_source")
    operator.desk.finish(A)
    await operator.site.paper.tell()
    status, found, _ = await operator.get(headers["Location"])
    assert (status, found["state"]) == (200, "failed")
    assert found["counts"] == {
        "total": 2, "running": 0, "completed": 1, "already": 0, "refused": 1, "failed": 0
    }  # fmt: skip


async def test_the_command_is_the_one_that_others_write_too(operator: Operator) -> None:
    await operator.post("/restores", {"tag": "t", "dry_run": True}, Idempotency_Key="mine")
    (record,) = operator.site.paper.sent
    assert record.key == b"mine"
    found = codec.decode(record.value or b"", "command")
    assert (found["type"], found["tag"], found["dry_run"]) == ("restore", "t", True)
    assert (found["request_id"], found["requested_by"]) == ("mine", "local")


async def test_what_is_so_already_is_success(operator: Operator) -> None:
    _, found, _ = await operator.post("/restores", {"sources": [B, C]})
    assert (found["state"], found["already"], found["code"]) == ("finished", True, None)
    assert [part["already"] for part in found["sources"]] == [True, True]
    by_source = {part["source"]: part for part in found["sources"]}
    assert by_source[B]["available_until"] == 77
    assert by_source[C]["available_because"] == "it is active"
    await operator.post("/restores", {"sources": [A]})
    _, found, _ = await operator.post("/restores", {"sources": [A]})
    assert (found["state"], found["sources"][0]["code"]) == ("finished", "already_restoring")
    for path, message in (("hold", "was held already"), ("unhold", "was not held")):
        await operator.post(f"/sources/{B}/{path}")
        status, found, _ = await operator.post(f"/sources/{B}/{path}")
        assert (status, found["state"], found["already"]) == (200, "finished", True)
        assert message in found["sources"][0]["message"]
    operator.desk.finish(A)
    for _ in range(2):
        status, found, _ = await operator.post(f"/sources/{A}/expire")
        assert status == 202 or found["state"] == "finished", found


async def test_of_many_untold_parts_those_that_were_so_count_as_such(tmp_path: Path) -> None:
    site = Site(settings(tmp_path), {0})
    for number in range(1_200):
        site.paper.desk.define(f"campaign:{number}", tags=("t",))
    async with serving(site) as session:
        operator = Operator(site, session)
        _, found, _ = await operator.post("/restores", {"tag": "t"})
    assert (found["state"], found["counts"]["already"]) == ("finished", 1_200)
    assert len(found["sources"]) == 1_000
    counts = {(one["code"], one["already"]): 0 for one in found["reasons"]}
    for one in found["reasons"]:
        counts[one["code"], one["already"]] += one["count"]
    assert counts == {("not_expired", True): 1_200}


async def test_the_same_key_is_the_same_request_and_sends_once(operator: Operator) -> None:
    for _ in range(3):
        status, found, _ = await operator.post("/restores", {"sources": [A]}, Idempotency_Key="k")
        assert (status, found["request_id"], found["state"]) == (202, "k", "running")
    assert len(operator.site.paper.sent) == 1
    status, found, _ = await operator.post("/restores", {"sources": [B]}, Idempotency_Key="k")
    assert (status, found["code"]) == (409, "key_reused")
    status, found, _ = await operator.post(f"/sources/{A}/hold", Idempotency_Key='"k"')
    assert (status, found["code"]) == (409, "key_reused")


async def test_another_reason_or_recipient_is_another_body(operator: Operator) -> None:
    body = {"sources": [A], "reason": "law", "notify": ["ann@example.com", "bob@example.com"]}
    assert (await operator.post("/restores", body, Idempotency_Key="k"))[0] == 202
    same = body | {"notify": ["bob@example.com", "ann@example.com"]}
    assert (await operator.post("/restores", same, Idempotency_Key="k"))[0] == 202
    others: list[dict[str, Any]] = [
        {"reason": "whim"}, {"notify": ["eve@example.com"]}, {"notify": []}
    ]  # fmt: skip
    for other in others:
        status, found, _ = await operator.post("/restores", body | other, Idempotency_Key="k")
        assert (status, found["code"]) == (409, "key_reused")
    assert len(operator.site.paper.sent) == 1


@pytest.mark.parametrize("id_", ["control-0-57", "x.control-0-0", "campaign:a", ".", ".."])
async def test_an_id_that_means_something_else_is_refused(operator: Operator, id_: str) -> None:
    """A command without an id is called after its place in the topic; a source is a source; and
    clients take a dot or two for steps in the path of `Location`.
    """
    status, found, _ = await operator.post("/restores", {"sources": [A]}, Idempotency_Key=id_)
    assert (status, found["code"]) == (400, "bad_request")
    assert "Idempotency-Key" in found["detail"]
    assert not operator.site.paper.sent


async def test_a_reuse_is_found_before_the_coordinator_has_read_the_first(
    operator: Operator,
) -> None:
    paper = operator.site.paper
    paper.silent = True
    assert (await operator.post("/restores?wait=0", {"sources": [A]}, Idempotency_Key="k"))[
        0
    ] == 202
    status, found, _ = await operator.post("/restores", {"sources": [B]}, Idempotency_Key="k")
    assert (status, found["code"]) == (409, "key_reused")
    assert len(paper.sent) == 1


async def test_of_two_bodies_at_one_time_under_one_key_one_is_a_reuse(operator: Operator) -> None:
    paper = operator.site.paper
    paper.silent, paper.slow = True, asyncio.Event()

    async def post(source: str) -> tuple[int, Any, Any]:
        return await operator.post("/restores?wait=0", {"sources": [source]}, Idempotency_Key="k")

    first = asyncio.create_task(post(A))
    await until(lambda: paper.waiting == 1)
    async with asyncio.timeout(20):
        status, found, _ = await post(B)  # Kafka has not yet acknowledged the first
    assert (status, found["code"]) == (409, "key_reused")
    same = asyncio.create_task(post(A))
    await until(lambda: paper.waiting == 2)
    paper.slow.set()
    assert [(await one)[0] for one in (first, same)] == [202, 202]
    assert len(operator.site.context.commands) == 1


async def test_a_request_that_waits_for_the_coordinator_has_no_sources_in_memory(
    operator: Operator,
) -> None:
    paper = operator.site.paper
    paper.silent = True
    names = [f"campaign:{number}" for number in range(1_000)]
    waiting = asyncio.create_task(operator.post("/restores?wait=30", {"sources": names}))
    async with asyncio.timeout(30):
        while True:
            if len(operator.site.context.commands):
                break
            await asyncio.sleep(0)
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Command) and one.sources]
    paper.silent = False
    await paper.read(paper.sent[0])
    assert (await waiting)[1]["counts"]["total"] == 1_000


async def test_what_was_sent_is_remembered_without_its_sources_until_it_is_read(
    operator: Operator,
) -> None:
    commands, paper = operator.site.context.commands, operator.site.paper
    paper.silent = True
    for number in range(3):
        names = [f"campaign:{number}-{one}" for one in range(1_000)]
        body = {"sources": names, "reason": "x" * 5_000}
        await operator.post("/restores?wait=0", body, Idempotency_Key=f"k{number}")
        sent = commands.sent(f"k{number}")
        assert sent is not None
        assert len(repr(sent)) < 2_000
    paper.silent = False
    for record in paper.sent:
        await paper.read(record)
    await operator.post("/restores", {"sources": [A]}, Idempotency_Key="last")
    assert len(commands) == 0


async def test_a_reuse_that_this_worker_has_not_read_yet_is_found_out_too(
    operator: Operator,
) -> None:
    paper = operator.site.paper
    operator.desk.command("restore", B, request_id="k")
    # the view learns of it only with what follows the new command
    status, found, _ = await operator.post("/restores", {"sources": [A]}, Idempotency_Key="k")
    assert len(paper.sent) == 1
    assert (status, found["code"]) == (409, "key_reused")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (f"/sources/{A}/nothing", None, 404, "not_found"),
        ("/sources/campaign:none/hold", None, 404, "unknown_source"),
        (f"/sources/{C}/expire", None, 409, "command_refused"),
        ("/restores", {"tag": "nobody"}, 409, "command_refused"),
        ("/requests", {"type": "hold", "tag": "nobody"}, 409, "command_refused"),
        ("/restores/none/cancel", None, 404, "unknown_request"),
        ("/restores", {}, 400, "bad_request"),
        ("/restores", {"sources": []}, 400, "bad_request"),
        ("/restores", {"sources": [""]}, 400, "bad_request"),
        ("/restores", {"sources": A}, 400, "bad_request"),
        ("/restores", {"tag": ""}, 400, "bad_request"),
        ("/restores", {"sources": [A], "dry_run": "yes"}, 400, "bad_request"),
        ("/restores", {"sources": [A], "notify": ["nowhere"]}, 400, "bad_request"),
        ("/restores", {"sources": [A], "notify": ["a@b"] * 21}, 400, "bad_request"),
        ("/restores", {"sources": [A], "reason": "x" * 10_001}, 400, "bad_request"),
        ("/restores", {"sources": ["x" * 1_001]}, 400, "bad_request"),
        ("/restores", {"source": A}, 400, "bad_request"),
        ("/requests", {"sources": [A], "type": "erase"}, 400, "bad_request"),
        ("/requests", {"sources": [A], "type": 7}, 400, "bad_request"),
        ("/restores?wait=31", {"sources": [A]}, 400, "bad_request"),
        ("/restores?wait=x", {"sources": [A]}, 400, "bad_request"),
    ],
)
async def test_what_is_refused_is_a_problem_that_says_why(
    operator: Operator, path: str, body: Any, status: int, code: str
) -> None:
    found = await operator.post(path, body)
    assert (found[0], found[1]["code"]) == (status, code)
    assert found[1]["detail"]
    if code == "command_refused" and C in path:
        assert found[1]["detail"].startswith(f"{C} is not stopped")
    if status == 400:
        assert not operator.site.paper.sent


@pytest.mark.parametrize("key", ["", "x" * 251, "a b", "ä", A])
async def test_a_key_that_is_no_id_is_refused(operator: Operator, key: str) -> None:
    status, found, _ = await operator.post("/restores", {"sources": [A]}, Idempotency_Key=key)
    assert (status, found["code"]) == (400, "bad_request")


async def test_a_request_is_sent_also_if_its_worker_no_longer_remembers_it(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MOST_SENT", 1)
    paper = operator.site.paper
    paper.silent = True
    body = {"sources": [A]}
    first = asyncio.create_task(operator.post("/restores?wait=1", body, Idempotency_Key="first"))
    await until(lambda: len(paper.sent) == 1)
    await operator.post("/restores?wait=0", body, Idempotency_Key="second")
    status, found, headers = await first
    assert (status, found.get("state"), found["request_id"]) == (202, "sent", "first")
    assert headers["Location"] == "/restores/first"


async def test_a_coordinator_that_is_silent_leaves_the_request_sent(operator: Operator) -> None:
    paper = operator.site.paper
    paper.silent = True
    status, found, headers = await operator.post("/restores?wait=0", {"sources": [A]})
    assert status == 202, found
    assert (status, found["state"], found["sources"]) == (202, "sent", [])
    status, found, _ = await operator.get(headers["Location"])
    assert (status, found["state"]) == (200, "sent")
    paper.silent = False
    await paper.read(paper.sent[0])
    _, found, _ = await operator.get(headers["Location"])
    assert found["state"] == "running"


async def test_a_missing_acknowledgement_is_reported_and_the_key_may_be_used_again(
    operator: Operator,
) -> None:
    operator.site.paper.broken = True
    status, found, headers = await operator.post("/restores", {"sources": [A]}, Idempotency_Key="k")
    assert (status, found["code"], found["request_id"]) == (503, "control_unavailable", "k")
    assert "Retry-After" in headers
    operator.site.paper.broken = False
    status, _, _ = await operator.post("/restores", {"sources": [A]}, Idempotency_Key="k")
    assert status == 202


async def test_cancel_ends_what_is_under_way_and_then_nothing_is(operator: Operator) -> None:
    await operator.post("/restores", {"sources": [A, B]}, Idempotency_Key="r/1 2".replace(" ", ""))
    status, found, headers = await operator.post("/restores/r%2F12/cancel", {"reason": "mistake"})
    assert (status, found["type"], found["state"]) == (202, "cancel", "running")
    assert [part["source"] for part in found["sources"]] == [A]
    assert headers["Location"].startswith("/requests/")
    _, former, _ = await operator.get("/restores/r%2F12")
    assert (former["state"], former["counts"]["failed"]) == ("failed", 1)
    operator.desk.finish(A)
    await operator.site.paper.tell()
    status, found, _ = await operator.post("/restores/r%2F12/cancel")
    assert (status, found["state"], found["already"]) == (200, "finished", True)


async def test_lists_have_pages_and_states(operator: Operator) -> None:
    for number in range(5):
        operator.desk.now += 1
        await operator.post("/restores", {"sources": [B]}, Idempotency_Key=f"r{number}")
    await operator.post("/restores", {"sources": [A]}, Idempotency_Key="open")
    await operator.post("/requests", {"type": "hold", "sources": [B]}, Idempotency_Key="hold")
    names: list[str] = []
    path = "/restores?limit=2"
    while path:
        _, found, _ = await operator.get(path)
        names += [one["request_id"] for one in found["requests"]]
        path = found["next"] and f"/restores?limit=2&cursor={found['next']}"
    assert names == ["r4", "open", "r3", "r2", "r1", "r0"]
    _, found, _ = await operator.get("/restores?state=running")
    assert [one["request_id"] for one in found["requests"]] == ["open"]
    # a list says what each request is about
    assert found["requests"][0]["first"] == {"source": A, "name": "Spring"}
    _, found, _ = await operator.get("/requests?state=finished")
    assert {one["request_id"] for one in found["requests"]} == {f"r{n}" for n in range(5)} | {
        "hold"
    }
    for wrong in ("state=ended", "limit=0", "cursor=x", "cursor=5."):
        status, found, _ = await operator.get(f"/restores?{wrong}")
        assert (status, found["code"]) == (400, "bad_request")


async def test_parts_have_pages(operator: Operator) -> None:
    await operator.post("/requests", {"type": "hold", "tag": "t"}, Idempotency_Key="all")
    _, found, _ = await operator.get("/requests/all?limit=2")
    assert [part["source"] for part in found["sources"]] == [A, B]
    _, found, _ = await operator.get(f"/requests/all?limit=2&cursor={found['next']}")
    assert ([part["source"] for part in found["sources"]], found["next"]) == ([C], None)


async def test_an_answer_that_is_there_already_is_304_until_it_changes(operator: Operator) -> None:
    await operator.post("/restores", {"sources": [A]}, Idempotency_Key="k")
    for path in ("/restores", "/restores/k"):
        _, _, headers = await operator.get(path)
        status, _, again = await operator.get(path, If_None_Match=headers["ETag"])
        assert (status, again["ETag"]) == (304, headers["ETag"])
    operator.desk.finish(A)
    await operator.site.paper.tell()
    status, _, _ = await operator.get("/restores/k", If_None_Match=headers["ETag"])
    assert status == 200


async def test_a_worker_that_has_not_read_the_requests_says_so(operator: Operator) -> None:
    operator.site.requests.caught_up.clear()
    for status, found, _ in (
        await operator.get("/restores"),
        await operator.get("/requests/x"),
        await operator.post("/restores", {"sources": [A]}),
    ):
        assert (status, found["code"]) == (503, "shards_unavailable")


HOLDING = ("hold", "unhold")


async def test_scopes_and_the_actor_are_those_of_the_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys, reads = Keys().add("ann", [Scope.READ], 1)
    keys, operates = keys.add("bob", [Scope.OPERATE], 2)
    keys, carl = keys.add("carl", [Scope.OPERATE], 3)
    keys.save(file)
    saved = Keys.load(file)
    assert saved is not None
    site = Site(settings(tmp_path, keys_file=file), {0})
    site.paper.desk.define(B, "STOPPED")
    site.paper.desk.tick(MONTH3 + DAY)
    site.paper.key = saved.command_key
    async with serving(site) as session:
        operator = Operator(site, session)
        assert (await operator.post("/restores", {"sources": [B]}))[0] == 401
        operator.headers = {"Authorization": f"Bearer {reads}"}
        status, found, _ = await operator.post("/restores", {"sources": [B]})
        assert (status, found["scope"]) == (403, "operate")
        operator.headers = {"Authorization": f"Bearer {operates}"}
        refused = await operator.post("/requests", {"type": "unhold", "tag": "t", "legal": True})
        assert (refused[0], refused[1]["code"]) == (400, "bad_request")
        law = {"reason": "law", "legal": True}
        status, found, headers = await operator.post(f"/sources/{B}/hold", law)
        assert (status, found["actor"]) == (200, "bob")
        assert (await operator.get(headers["Location"]))[0] == 403
        operator.headers = {"Authorization": f"Bearer {reads}"}
        assert (await operator.get(headers["Location"]))[1]["actor"] == "bob"
        # who has set a legal hold cannot release it, and another key's owner can
        operator.headers = {"Authorization": f"Bearer {operates}"}
        status, found, _ = await operator.post(f"/sources/{B}/unhold")
        assert (status, found["code"], found["refusal"]) == (
            409, "command_refused", "second_person"
        )  # fmt: skip
        operator.headers = {"Authorization": f"Bearer {carl}"}
        assert (await operator.post(f"/sources/{B}/unhold"))[0] == 200
    held, released = (
        one.record for one in site.paper.desk.said if one.record.get("decision") in HOLDING
    )
    assert (held["by"], released["by"]) == ("bob", "carl")


async def test_progress_is_told_by_source_and_together_with_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(settings(tmp_path), {0})
    desk = site.paper.desk
    for source in (A, B):
        desk.define(source, "STOPPED")
    desk.tick(MONTH3 + DAY)
    for source in (A, B):
        desk.finish(source, segments=5, bytes=500)
    async with serving(site) as session:
        operator = Operator(site, session)
        await operator.post("/restores", {"sources": [A, B, C]}, Idempotency_Key="r")
        site.states.records = {name: one.shown() for name, one in desk.state.sources.items()}
        _, found, _ = await operator.get("/restores/r")
        nothing = {"done": 0, "total": 20, "bytes_done": 0, "bytes": 2_000, "seconds_left": None}
        assert found["progress"] == {**nothing, "total": 40, "bytes": 4_000}
        assert [part["progress"] for part in found["sources"]] == [nothing, nothing, None]
        desk.now += 2_000
        desk.report(A, 0, segments=5, bytes=500)
        desk.report(A, 1, segments=5, bytes=500)
        desk.now += 1_000
        desk.report(A, 1, phase=Phase.PROGRESS, done=1, total=5, bytes=1)
        desk.report(A, 2, phase=Phase.PROGRESS, done=1, total=5, bytes=100)
        await site.paper.tell()
        _, found, _ = await operator.get("/restores/r")
        so_far = {"done": 11, "bytes_done": 1_100, "seconds_left": 2.5}
        assert found["sources"][0]["progress"] == {**nothing, **so_far}
        assert found["progress"]["seconds_left"] == 7.9
        _, listed, _ = await operator.get("/restores")
        assert listed["requests"][0]["progress"] == found["progress"]
        # the event loop makes lists, and adds up so many sources of all their requests together
        monkeypatch.setattr(routes, "MOST_SUMMED_TOGETHER", 2)
        _, listed, _ = await operator.get("/restores")
        assert listed["requests"][0]["progress"] is None
        desk.finish(A, segments=5, bytes=500)
        site.states.records = {name: one.shown() for name, one in desk.state.sources.items()}
        await site.paper.tell()
        _, found, _ = await operator.get("/restores/r")
        assert found["sources"][0]["progress"]["done"] == 20


async def test_a_match_names_the_sources_that_fit_when_it_is_read(operator: Operator) -> None:
    body = {"type": "restore", "match": {"tag": ["t"], "state": ["expired", "STOPPED", "ACTIVE"]}}
    status, dry, _ = await operator.post(
        "/requests", {**body, "dry_run": True}, Idempotency_Key="all"
    )
    assert status == 200
    assert dry["request_id"].startswith("all.")
    assert (dry["counts"]["total"], dry["counts"]["completed"], dry["counts"]["already"]) == (
        3,
        1,
        2,
    )
    assert dry["reasons"] == [
        {"code": "not_expired", "state": "STOPPED", "already": True, "count": 1},
        {"code": "not_expired", "state": "ACTIVE", "already": True, "count": 1},
    ]
    assert dry["effect"]["sources"] == 1
    assert (dry["effect"]["seconds"], dry["effect"]["measured"]) == (None, None)
    status, found, _ = await operator.post("/requests", body, Idempotency_Key="all")
    assert (status, found["state"], found["effect"]) == (202, "running", None)
    assert found["request_id"] not in ("all", dry["request_id"])
    # what matches by now is another set: the request stays what it was
    record = operator.site.states.records[A]
    operator.site.states.put(replace(record, state=State.RESTORING, version=4))
    status, again, _ = await operator.post("/requests", body, Idempotency_Key="all")
    assert (status, again["request_id"]) == (202, found["request_id"])
    assert again["counts"]["total"] == 3
    other = {**body, "reason": "another"}
    status, problem, _ = await operator.post("/requests", other, Idempotency_Key="all")
    assert (status, problem["code"]) == (409, "key_reused")


async def test_a_match_takes_only_what_its_dry_run_said_would_be_done(operator: Operator) -> None:
    match = {"tag": ["t"], "state": ["EXPIRED", "STOPPED", "ACTIVE"]}
    body = {"type": "restore", "match": match}
    _, dry, _ = await operator.post("/requests", {**body, "dry_run": True}, Idempotency_Key="dry")
    assert (dry["counts"]["total"], dry["effect"]["sources"]) == (3, 1)
    tried = {**body, "match": {**match, "tried": dry["request_id"]}}
    status, found, _ = await operator.post("/requests", tried, Idempotency_Key="do")
    assert status == 202
    assert [part["source"] for part in found["sources"]] == [A]
    for wrong, expected in ((found["request_id"], 400), ("", 400), (1, 400), ("none", 404)):
        other = {**body, "match": {**match, "tried": wrong}}
        assert (await operator.post("/requests", other))[0] == expected, wrong


async def test_a_match_of_nothing_or_of_too_many_or_beside_names_is_refused(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(match: Any, **more: Any) -> tuple[int, Any]:
        status, found, _ = await operator.post("/restores", {"match": match, **more})
        return status, found

    status, problem = await asked({"name": "nobody"})
    assert (status, problem["code"], problem["refusal"]) == (
        409,
        "command_refused",
        "unknown_source",
    )
    for match, more in (
        ({"tag": ["t"]}, {"tag": "t"}),
        ({"tag": ["t"]}, {"sources": [A]}),
        ({"size": 1}, {}),
        ({"state": ["GONE"]}, {}),
        ({"tag": "t"}, {}),
        ({"tag": ["t"] * 101}, {}),
        (None, {}),
        ([], {}),
    ):
        assert (await asked(match, **more))[0] == 400, match
    status, _, _ = await operator.post("/restores", {"match": {}}, Idempotency_Key="x" * 240)
    assert status == 400
    monkeypatch.setattr(command_match, "MAX_SOURCES", 2)
    status, problem = await asked({"tag": ["t"]})
    assert (status, problem["code"]) == (413, "request_too_large")
    assert (problem["matching"], problem["most"]) == (3, 2)


async def test_what_a_request_missed_is_asked_for_again(operator: Operator) -> None:
    names = {"type": "expire", "sources": [A, B, C]}
    status, found, _ = await operator.post("/requests", names, Idempotency_Key="first")
    assert found["counts"] == {
        "total": 3, "running": 1, "completed": 0, "already": 1, "refused": 1, "failed": 0
    }  # fmt: skip
    body = {"type": "expire", "match": {"request": "first"}, "dry_run": True}
    status, again, _ = await operator.post("/requests", body)
    assert [part["source"] for part in again["sources"]] == [C]
    _, some, _ = await operator.get("/requests/first?outcome=refused&outcome=failed&limit=1")
    assert ([part["source"] for part in some["sources"]], some["next"]) == ([C], None)
    _, some, _ = await operator.get("/requests/first?outcome=already&outcome=refused&limit=1")
    assert ([part["source"] for part in some["sources"]], some["next"]) == ([A], A)
    _, rest, _ = await operator.get("/requests/first?outcome=refused&limit=1&cursor=" + A)
    assert ([part["source"] for part in rest["sources"]], rest["next"]) == ([C], None)
    query = "/requests?type=expire&state=running&state=failed"
    for dry_run, ids in (("false", ["first"]), ("true", [again["request_id"]])):
        _, listed, _ = await operator.get(f"{query}&dry_run={dry_run}")
        assert [one["request_id"] for one in listed["requests"]] == ids
    assert len((await operator.get(query))[1]["requests"]) == 2
    assert (await operator.get("/requests?type=restore"))[1]["requests"] == []
    for bad in ("/requests/first?outcome=gone", "/requests?type=gone", "/requests?state=sent"):
        assert (await operator.get(bad))[0] == 400
    assert again["reasons"] == [
        {"code": "invalid_command", "state": "ACTIVE", "already": False, "count": 1}
    ]
    status, problem, _ = await operator.post(
        "/requests", {"type": "expire", "match": {"request": "none"}}
    )
    assert (status, problem["code"]) == (404, "unknown_request")

"""Sources by what people call them, in paths, queries and bodies of HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from agents.web.server import ROUTES
from schemas.records import codec
from schemas.records.lifecycle import SourceState, State
from streams.clock import ManualClock
from tests.rigs.site import DAY, SHARDS, A, Site, define, serving, settings

SPRING = "campaign:5ce1da73"
OTHER = "campaign:5ce1ffff"
RECORDS = (
    SourceState(SPRING, State.ACTIVE, 1, name="Spring sale"),
    SourceState(OTHER, State.EXPIRED, 2, name="Autumn"),
    SourceState("canvas:77", State.STOPPED, 1, name="autumn", due_at=5),
    SourceState("campaign:b", State.ACTIVE, 1, name="Hidden\u202e"),
)


class Caller:
    """Calls one worker."""

    def __init__(self, made: Site, session: aiohttp.ClientSession) -> None:
        self.site = made
        self.session = session

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, Any]:
        url = self.site.context.address + path
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, url, json=body, headers=given) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    def commands(self) -> list[list[str]]:
        """The sources of the commands that were written."""
        sent = [codec.decode(one.value or b"", "command") for one in self.site.paper.sent]
        return [cast(list[str], command["sources"]) for command in sent]


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    made = Site(settings(tmp_path), set(range(SHARDS)), *RECORDS)
    made.context.clock = ManualClock(DAY * 86_400_000)
    for shard in made.shards.values():
        shard.versions = {record.source: record.version for record in RECORDS}
    for record in RECORDS:
        define(made, record.source, name=record.name)
        made.paper.desk.define(record.source, "STOPPED")
    made.paper.desk.expired(OTHER)
    await made.paper.tell()
    async with serving(made) as session:
        yield Caller(made, session)


READING = sorted(
    route.path
    for route in ROUTES
    if route.method == "GET" and any(one.name == "source" for one in route.parameters)
)


def test_every_parameter_called_source_is_resolved() -> None:
    assert len(READING) > 5
    for route in ROUTES:
        assert "{source}" not in route.path or any(one.source for one in route.parameters)
        for one in route.parameters:
            assert one.source == (one.name == "source")


@pytest.mark.parametrize("path", [path for path in READING if "{source}" in path])
async def test_every_call_about_a_source_takes_what_people_call_it(
    caller: Caller, path: str
) -> None:
    exact = await _read(caller, path.format(source=SPRING))
    for text in ("5ce1da73", "spring%20SALE", "5ce1d", "campaign:spring"):
        assert await _read(caller, path.format(source=text)) == exact
    status, problem, _ = await caller.ask("GET", path.format(source="autumn"))
    assert (status, problem["code"]) == (409, "ambiguous_source")
    assert problem["candidates"] == [
        {"source": OTHER, "name": "Autumn", "state": "EXPIRED"},
        {"source": "canvas:77", "name": "autumn", "state": "STOPPED"},
    ]
    for text in ("Sprng sale", "campaign:5ce1da74"):
        status, problem, _ = await caller.ask("GET", path.format(source=text))
        assert (status, problem["code"]) == (404, "unknown_source")
        assert problem["nearest"][0] == {"source": SPRING, "name": "Spring sale", "state": "ACTIVE"}
        assert f'Did you mean {SPRING} ("Spring sale")' in problem["detail"]


async def _read(caller: Caller, path: str) -> tuple[int, bytes]:
    async with caller.session.get(caller.site.context.address + path) as answer:
        body = await answer.read()
        if answer.content_type != "application/json":
            assert answer.headers["Emberline-Source"] == SPRING
            assert answer.headers["Emberline-Source-Name"] == "Spring%20sale"
        else:
            assert b'"Spring sale"' in body
        assert answer.status == 200, body
        return answer.status, body


async def test_a_command_says_what_was_understood_and_is_written_with_keys(caller: Caller) -> None:
    status, found, _ = await caller.ask("POST", "/sources/spring%20sale/hold")
    assert status == 200
    assert found["understood"] == [
        {"given": "spring sale", "source": SPRING, "name": "Spring sale"}
    ]
    named = ["5ce1d", SPRING, "canvas:77", "Spring sale"]
    status, found, _ = await caller.ask("POST", "/requests", {"type": "hold", "sources": named})
    assert status == 200
    assert [one["given"] for one in found["understood"]] == ["5ce1d", "Spring sale"]
    assert caller.commands() == [[SPRING], [SPRING, "canvas:77"]]


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("autumn", 409, "ambiguous_source"),
        ("5ce", 409, "ambiguous_source"),
        ("5ce1", 409, "ambiguous_source"),
        ("spr", 409, "ambiguous_source"),
        ("Hidden", 409, "ambiguous_source"),
        ("Hidden\u202e", 409, "ambiguous_source"),
        ("sprinq sale", 404, "unknown_source"),
    ],
)
async def test_what_is_not_clear_is_refused_before_a_command_is_written(
    caller: Caller, text: str, status: int, code: str
) -> None:
    for path, body in (
        ("/restores", {"sources": [SPRING, text]}),
        ("/requests", {"sources": [text], "type": "expire"}),
        (f"/sources/{text}/expire", None),
    ):
        found = await caller.ask("POST", path, body)
        assert (found[0], found[1]["code"]) == (status, code)
    assert caller.commands() == []


async def test_a_key_that_is_not_known_is_the_coordinators_to_refuse(caller: Caller) -> None:
    body = {"sources": ["campaign:5ce1d", OTHER]}
    status, found, _ = await caller.ask("POST", "/restores", body)
    assert status == 202
    assert [one["code"] for one in found["sources"]] == ["unknown_source", None]
    assert found["understood"] == []
    status, problem, _ = await caller.ask("POST", "/sources/campaign:5ce1d/hold")
    assert (status, problem["code"]) == (404, "unknown_source")
    assert problem["nearest"][0]["source"] == SPRING


async def test_cancel_takes_requests_and_sources(caller: Caller) -> None:
    await caller.ask("POST", "/restores", {"sources": ["autum"]}, Idempotency_Key="none")
    status, found, _ = await caller.ask(
        "POST", "/restores", {"sources": [OTHER]}, Idempotency_Key="5ce1d"
    )
    assert status == 202
    body = {"type": "cancel", "sources": ["5ce1d"]}
    status, found, _ = await caller.ask("POST", "/requests", body)
    assert found["understood"] == []
    assert caller.commands()[-1] == ["5ce1d"]


async def test_definitions_and_what_if_take_names_too(caller: Caller) -> None:
    status, found, _ = await caller.ask("GET", "/definitions/spring%20sale")
    assert (status, found["key"]) == (200, SPRING)
    status, found, _ = await caller.ask("GET", "/definitions/autumn")
    assert (status, found["code"]) == (409, "ambiguous_source")
    status, found, _ = await caller.ask("GET", "/definitions/segment:none")
    assert (status, found["code"]) == (404, "unknown_definition")
    status, found, _ = await caller.ask(
        "GET", f"/sources/{SPRING}/explain?as_if_stopped=spring%20sale"
    )
    assert status == 200
    assert SPRING in found["as_if"]["change"]


async def test_while_states_are_read_no_name_is_unknown(caller: Caller) -> None:
    caller.site.states.caught_up.clear()
    for path in ("/sources/spring", f"/sources/{A}"):
        status, problem, _ = await caller.ask("GET", path)
        assert (status, problem["code"]) == (503, "shards_unavailable")
    status, problem, _ = await caller.ask("POST", "/restores", {"sources": ["spring"]})
    assert (status, problem["code"]) == (503, "shards_unavailable")
    assert caller.commands() == []


async def test_problems_and_what_is_left_out_show_names(caller: Caller) -> None:
    status, problem, _ = await caller.ask("GET", f"/sources/{OTHER}/interactions")
    assert (status, problem["code"], problem["name"]) == (409, "source_hidden", "Autumn")
    leaf = {"filter": "received_from_campaign", "campaign": "5ce1ffff"}
    status, problem, _ = await caller.ask("POST", "/audience", {"filter": leaf, "limit": 0})
    assert (status, problem["code"]) == (409, "source_hidden")
    assert problem["refusals"][0]["sources"] == [
        {"source": OTHER, "name": "Autumn", "state": "EXPIRED"}
    ]
    both = {"or": [leaf, leaf | {"campaign": "spring sale"}]}
    body = {"filter": both, "limit": 0, "on_expired": "exclude"}
    status, page, _ = await caller.ask("POST", "/audience", body)
    assert [(one["source"], one["name"]) for one in page["excluded"]] == [(OTHER, "Autumn")]
    for text in ("5ce1da74", "sprinq sale"):
        body = {"filter": leaf | {"campaign": text}, "limit": 0}
        status, problem, _ = await caller.ask("POST", "/audience", body)
        assert (status, problem["code"]) == (404, "unknown_source")
        assert problem["nearest"][0] == {"source": SPRING, "name": "Spring sale", "state": "ACTIVE"}
        assert f'Did you mean {SPRING} ("Spring sale")' in problem["detail"]

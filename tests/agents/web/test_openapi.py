"""The server keeps the contract that it publishes: schemathesis generates the requests."""

import asyncio
import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import CheckFunction

from agents.requests import events
from agents.requests.replay import Replayed
from agents.shard.analytics import Figures
from agents.web.openapi import document
from agents.web.routes import replay
from agents.web.server import ROUTES
from schemas.records.lifecycle import Exemption, Hold, SourceState, State
from streams.settings import load
from tests.rigs.site import DAY, SHARDS, SORT, A, Site, define, serving

EXAMPLES = 8


def site(folder: Path) -> Site:
    """A worker with a source in every state."""
    used = (Exemption("canvas:c", ("segment:s",), "received_from_campaign"),)
    records = [
        SourceState(A, State.ACTIVE, 1, name="Spring", tags=("vip",)),
        SourceState("campaign:stopped", State.STOPPED, 2, due_at=1, due_because="stopped"),
        SourceState("campaign:exempt", State.EXEMPT, 2, status="STOPPED", exempt_by=used),
        SourceState("campaign:held", State.HELD, 2, held=Hold("ann", None, 5)),
        SourceState("canvas:unknown", State.UNKNOWN, 1),
        SourceState("canvas:moving", State.EXPIRING, 3, stuck=(1,)),
        SourceState("canvas:gone", State.EXPIRED, 4, expired_at=9, checksum="00"),
        SourceState("canvas:back", State.RESTORING, 5),
        SourceState("campaign:old", State.STOPPED, 5, legacy_deleted=True),
    ]
    flags = {"partitions": SHARDS, "data_dir": folder, "keys_file": folder / "none"}
    made = Site(load(flags, env={}, file=folder / "none"), set(range(SHARDS)), *records)
    for shard in made.shards.values():
        shard.versions = {record.source: record.version for record in records}
        shard.figures = Figures([[DAY, *SORT, None, 1]], [[*SORT, 1]])
    desk = made.paper.desk
    desk.expired("canvas:gone")
    for name in (A, "campaign:stopped"):
        desk.define(name, "STOPPED", tags=("vip",))
    desk.command("restore", "canvas:gone", request_id="again")
    desk.command("hold", tag="vip", request_id="all")
    define(made, "canvas:c", filters=json.dumps({"filter": "in_segment", "segment": "s"}))
    return made


def named(value: Any) -> Any:
    """The document, with the sources and requests of the site as the values of parameters."""
    if isinstance(value, dict):
        any_id = "pattern" in value.get("schema", {})
        if value.get("name") == "id" and value.get("in") == "path" and not any_id:
            return value | {"schema": {"type": "string", "enum": ["again", "all", "nothing"]}}
        if value.get("name") == "key" and value.get("in") == "path":
            return value | {"schema": {"type": "string", "enum": ["canvas:c", "segment:none"]}}
        if value.get("name") == "source" and value.get("in") == "path":
            sources = [A, "campaign:exempt", "canvas:gone", "canvas:unknown", "campaign:old", "x"]
            sources += ["spring", "campaign:st", "un", "campaign:"]
            return value | {"schema": {"type": "string", "enum": sources}}
        return {key: named(item) for key, item in value.items()}
    return [named(item) for item in value] if isinstance(value, list) else value


def test_the_document_is_whole() -> None:
    found = document(ROUTES)
    names = set(found["components"]["schemas"])
    text = json.dumps(found)
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= names
    for methods in found["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            good = [one for status, one in operation["responses"].items() if status < "300"]
            assert good
            assert all(one["content"] for one in good)
            limited = operation["responses"].get("429")
            assert limited is None or {"Retry-After", "X-RateLimit-Reset"} == set(
                limited["headers"]
            )


@pytest.mark.parametrize("route", sorted(document(ROUTES)["paths"]))
async def test_the_server_keeps_its_contract(
    tmp_path: Path, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # streams that go on until the client leaves end soon here
    monkeypatch.setattr(events, "MOST_S", 0.05)

    # a log on paper has no writer
    async def nothing_rejected(*_: object, **__: object) -> Replayed:
        return Replayed()

    monkeypatch.setattr(replay, "replay", nothing_rejected)
    worker = site(tmp_path)
    await worker.paper.tell()
    async with serving(worker) as session:
        async with session.get(f"{worker.context.address}/openapi.json") as answer:
            assert answer.status == 200
            published = await answer.json()
        assert published == json.loads(json.dumps(document(ROUTES)))
        await asyncio.to_thread(_ask, named(published), route, worker.context.address)


def _ask(published: dict[str, Any], route: str, address: str) -> None:
    always: list[CheckFunction] = [
        schemathesis.checks.not_a_server_error,
        schemathesis.checks.status_code_conformance,
        schemathesis.checks.content_type_conformance,
        schemathesis.checks.response_headers_conformance,
        schemathesis.checks.response_schema_conformance,
        schemathesis.checks.unsupported_method,
    ]
    api = schemathesis.openapi.from_dict(published)
    for result in api.include(path=route).get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]  # one that is not fails here
        good = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
        _asks(good, address, always)
        described = published["paths"][route][operation.method.lower()]
        if {"parameters", "requestBody"} & described.keys():
            bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            _asks(bad, address, [*always, schemathesis.checks.negative_data_rejection])


def _asks(cases: Any, address: str, checks: list[CheckFunction]) -> None:
    @hypothesis.seed(20260501)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=cases)
    def asks(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=address, checks=checks)

    asks()

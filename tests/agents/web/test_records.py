"""The sweep, definitions, settings and the way in over real HTTP; audit and rejected in pages."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.coordinator.rules.quarantine import Quarantined
from agents.http.keys import Keys, Scope
from agents.requests import audit as audit_pages
from agents.tools.publish import Chunk, publish
from agents.web.routes import records
from schemas.decode.batch import unpack
from schemas.decode.reject import reject
from schemas.records import codec
from schemas.records.lifecycle import SourceState, State
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Record
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.desk import DAY, MONTH3, Desk
from tests.rigs.record_batches import Produced, batch
from tests.rigs.site import Site, define, serving, settings

A, B = "campaign:a", "campaign:b"


async def get(session: aiohttp.ClientSession, site: Site, path: str) -> tuple[int, Any]:
    async with session.get(site.context.address + path) as answer:
        return answer.status, await answer.json(content_type=None)


async def post(session: aiohttp.ClientSession, site: Site, path: str, body: Any = None) -> Any:
    async with session.post(site.context.address + path, json=body) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    return Site(
        settings(tmp_path, schema_registry_password="hidden"),
        {0},
        SourceState(A, State.STOPPED, 2, name="Spring", due_at=5),
        SourceState(B, State.ACTIVE, 1),
        desk=Desk(partitions=4, sweep_confirm_share=0.0),
    )


async def test_the_sweep_is_paused_and_continued(site: Site) -> None:
    async with serving(site) as session:
        for path, again in (("pause", False), ("pause", True), ("resume", False), ("resume", True)):
            status, found = await post(session, site, f"/sweep/{path}", {"reason": "why"})
            assert (status, found["state"], found["already"]) == (200, "finished", again)
        site.context.catalog.sweep = replace(site.context.catalog.sweep, paused=True, next_at=77)
        _, found = await get(session, site, "/sweep")
        assert found["archive_fault"] is None
        fault = "topic archive: retention.ms is 1000, must be -1"
        site.context.catalog.sweep = replace(site.context.catalog.sweep, archive_fault=fault)
        assert (await get(session, site, "/sweep"))[1]["archive_fault"] == fault
        assert (await get(session, site, "/status"))[1]["sweep"]["archive_fault"] == fault
    assert (found["paused"], found["next_at"], found["interval"]) == (True, 77, "PT1H")
    assert found["sources"] == [{"source": A, "name": "Spring", "due_at": 5}]
    assert (found["due"], found["hot"], found["confirm"]) == (1, 2, None)


async def test_what_the_sweep_asks_is_confirmed_and_nothing_else(site: Site) -> None:
    desk = site.paper.desk
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    question = desk.state.sweep.question
    async with serving(site) as session:
        status, found = await post(session, site, "/sweep/confirm", {"confirm": "another"})
        assert (status, found["code"], found["refusal"]) == (
            409,
            "command_refused",
            "invalid_command",
        )
        assert question in found["detail"]
        for body in ({}, {"confirm": ""}, {"confirm": 1}):
            assert (await post(session, site, "/sweep/confirm", body))[0] == 400
        status, found = await post(session, site, "/sweep/confirm", {"confirm": question})
        assert (status, found["state"]) == (200, "finished")
    desk.tick(1)
    assert desk.source(A).state is State.EXPIRING


async def test_a_definition_is_shown_as_the_workers_use_it(site: Site) -> None:
    tree = json.dumps({"filter": "in_segment", "segment": "s"})
    define(site, "canvas:c", name="Welcome", filters=tree, steps=[{"id": "1", "name": "First"}])
    site.context.catalog.quarantined["canvas:c"] = Quarantined("the filter is no filter")
    site.context.catalog.quarantined["segment:x"] = Quarantined("garbage")
    async with serving(site) as session:
        status, found = await get(session, site, "/definitions/canvas:c")
        assert (status, found["name"], found["status"]) == (200, "Welcome", "ACTIVE")
        assert (found["filters"], found["steps"]) == (tree, [{"id": "1", "name": "First"}])
        assert found["unreadable"] == "the filter is no filter"
        _, found = await get(session, site, "/definitions/segment:x")
        assert (found["status"], found["unreadable"]) == (None, "garbage")
        status, found = await get(session, site, "/definitions/canvas:d")
        assert (status, found["code"]) == (404, "unknown_definition")
        assert "canvas:c" in found["detail"]


async def test_definitions_are_found_by_kind_and_name_in_pages(site: Site) -> None:
    define(site, "segment:loyal", name="Loyal BUYERS", tags=["2026"])
    define(site, "segment:new", name="New")
    define(site, "canvas:loyal", name="Loyal journey")
    async with serving(site) as session:
        _, found = await get(session, site, "/definitions?name=loyal")
        assert [one["key"] for one in found["definitions"]] == ["canvas:loyal", "segment:loyal"]
        _, found = await get(session, site, "/definitions?kind=segment&name=buyer")
        (one,) = found["definitions"]
        assert (one["name"], one["tags"], one["status"]) == ("Loyal BUYERS", ["2026"], "ACTIVE")
        _, first = await get(session, site, "/definitions?kind=segment&limit=1")
        assert (first["total"], first["next"]) == (2, "segment:loyal")
        path = f"/definitions?kind=segment&limit=1&cursor={first['next']}"
        _, second = await get(session, site, path)
        assert [one["key"] for one in second["definitions"]] == ["segment:new"]
        assert second["next"] is None
        status, found = await get(session, site, "/definitions?kind=campain")
        assert (status, found["code"]) == (400, "bad_request")
        site.context.catalog.caught_up.clear()
        assert (await get(session, site, "/definitions"))[0] == 503


async def test_settings_have_no_secrets(site: Site) -> None:
    async with serving(site) as session:
        _, found = await get(session, site, "/settings")
    lines = {line["name"]: line for line in found["settings"]}
    assert lines["schema_registry_password"]["value"] == "(set)"
    assert lines["retention"]["value"] == "P3M"
    assert "hidden" not in json.dumps(found)


async def test_the_way_in_needs_no_key(tmp_path: Path) -> None:
    Keys().add("ann", [Scope.READ], 1)[0].save(tmp_path / "keys.json")
    site = Site(settings(tmp_path, keys_file=tmp_path / "keys.json"), {0})
    async with serving(site) as session, session.get(site.context.address) as answer:
        assert (await answer.json())["openapi"] == "/openapi.json"
        assert "/openapi.json" in answer.headers["Link"]


async def test_samples_of_rejected_records_need_the_scope_of_rows(tmp_path: Path) -> None:
    keys, token = Keys().add("ann", [Scope.READ], 1)
    keys.save(tmp_path / "keys.json")
    site = Site(settings(tmp_path, keys_file=tmp_path / "keys.json"), {0})
    async with serving(site) as session:
        session.headers["Authorization"] = f"Bearer {token}"
        status, found = await get(session, site, "/rejected?samples=1")
        assert (status, found["scope"]) == (403, "users.export")
        status, found = await get(session, site, "/rejected")
        assert (status, found["counts"]) == (200, [])


async def entries(settings: Settings, count: int) -> None:
    """Audit entries number 0 .. count-1, at their number in milliseconds."""
    found = [
        {
            "event_id": f"e{n}",
            "source": None if n % 5 == 4 else (A, B)[n % 2],
            "time": n,
            "decision": ("expired", "hold")[n % 3 == 0],
            "by": ("ann", None)[n % 2],
            "request_id": f"r{n}",
        }
        for n in range(count)
    ]
    keys = [None if one["source"] is None else str(one["source"]).encode() for one in found]
    values = [codec.encode("audit", one) for one in found]
    await publish(settings, [Chunk("lifecycle.audit", keys, values)])


@pytest.fixture
async def connected(settings: Settings, topics: Topics) -> Site:
    made = Site(settings, {0}, SourceState(A, State.ACTIVE, 1, name="Spring"))
    made.context.kafka = KafkaLog(settings)
    return made


async def pages(session: aiohttp.ClientSession, site: Site, path: str) -> list[dict[str, Any]]:
    """All entries of all pages."""
    found: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(1_000):
        status, page = await get(session, site, f"{path}{cursor}")
        assert status == 200, page
        found += page["entries"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"
    raise AssertionError("it has no last page")


@pytest.mark.connected
async def test_the_audit_is_read_in_pages_from_both_ends(
    connected: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pages, "_SPAN", 7)
    monkeypatch.setattr(audit_pages, "MOST_RECORDS", 50)
    site, count = connected, 120
    await entries(site.context.settings, count)
    async with serving(site) as session:
        for order, wanted in (("newest", range(count)[::-1]), ("oldest", range(count))):
            for limit in (7, 40, 1_000):
                found = await pages(session, site, f"/audit?order={order}&limit={limit}")
                assert [one["time"] for one in found] == list(wanted)
        found = await pages(session, site, f"/audit?source={A}")
        assert [one["time"] for one in found] == [
            n for n in range(count)[::-1] if n % 2 == 0 and n % 5 < 4
        ]
        assert {one["name"] for one in found} == {"Spring"}
        found = await pages(session, site, "/audit?decision=hold&actor=ann&since=30&until=60")
        assert [one["time"] for one in found] == [54, 48, 42, 36, 30]
        found = await pages(session, site, "/audit?request=r9")
        assert [one["time"] for one in found] == [9]
        _, page = await get(session, site, "/audit?limit=1")
        end = page["end"]
        await entries(site.context.settings, 1)
        found = await pages(session, site, f"/audit?order=oldest&cursor={end}")
        assert [one["time"] for one in found] == [0]
        status, problem = await get(session, site, "/audit?order=sideways")
        assert (status, problem["code"]) == (400, "bad_request")


@pytest.mark.connected
async def test_rejected_records_are_counted_and_shown(connected: Site) -> None:
    site = connected
    topics = Topics(site.context.settings.prefix)
    event = codec.encode("send", {"id": "e1", "user_id": "ada", "time": 1, "campaign_id": "a"})
    made = []
    kinds = [("bad_time", event), ("bad_json", b"{"), ("bad_time", event)]
    for offset, (code, value) in enumerate(kinds):
        source = batch([Produced(value=value)], topic=topics.event("send"))
        (record,) = unpack(source)
        made.append(reject(source, record._replace(offset=offset), code, "why"))
    appender = site.context.kafka.appender()
    for one in made:
        headers = tuple(one.headers)
        await appender.append(Record(topics.rejected, one.key, one.value, 1, headers))
    await appender.close()
    async with serving(site) as session:
        _, found = await get(session, site, "/rejected")
        counts = {one["code"]: one["count"] for one in found["counts"]}
        assert counts == {"bad_time": 2, "bad_json": 1}
        assert (found["total"], found["samples"], found["complete"]) == (3, [], True)
        assert found["counts"][0]["topic"] == topics.event("send")
        assert found["counts"][0]["remedy"]
        _, found = await get(session, site, "/rejected?samples=1")
        assert sorted(one["code"] for one in found["samples"]) == ["bad_json", "bad_time"]
        (sample,) = [one for one in found["samples"] if one["code"] == "bad_time"]
        assert (sample["user"], sample["event_id"], sample["detail"]) == ("ada", "e1", "why")
        future = 10**15
        _, found = await get(session, site, f"/rejected?since={future}")
        assert (found["counts"], found["complete"]) == ([], True)
        assert (await get(session, site, f"/rejected?samples={records.MOST_SAMPLES + 1}"))[0] == 400
        for wrong in ({"codes": ["bad"]}, {"topics": ["control"]}, {"since": "1"}, {"dry_run": 1}):
            assert (await post(session, site, "/rejected/replay", wrong))[0] == 400
        status, found = await post(session, site, "/rejected/replay", {"dry_run": True})
        assert (status, found["dry_run"], found["more"]) == (200, True, False)
        assert found["replayed"] + sum(found["left"].values()) > 0
        status, again = await post(session, site, "/rejected/replay")
        assert (status, again["replayed"]) == (200, found["replayed"])
        status, again = await post(session, site, "/rejected/replay")
        assert (again["replayed"], again["before"]) == (0, found["replayed"])

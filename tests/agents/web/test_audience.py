"""POST /audience over real HTTP on dummy shards: pages, streams, refusals, failing parts."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest

from agents.cli.audience import count, stream
from agents.filters.errors import CODES as FILTER_CODES
from agents.filters.plan_nodes import FilterPlan
from agents.filters.refusals import Code
from agents.http import body
from agents.http.problems import CODES
from agents.scatter import plan_json, retry
from agents.shard.audience_part import AudiencePart, Members
from agents.views.catalog_view import CatalogEntry, CatalogView
from agents.web.routes.audience_request import Cursor
from schemas.errors import EmberlineError, Recoverable, UsageError
from schemas.records.lifecycle import SourceState, State
from streams.settings import Settings, load
from tests.rigs.site import JSON, SPOILS, A, Site, active, alone, serving

__all__ = ["alone"]

LEAF = {"filter": "received_from_campaign", "campaign": "a"}
HIDDEN = {"filter": "received_from_campaign", "campaign": "b"}
B = SourceState("campaign:b", State.EXPIRED, 4)
NDJSON = "application/x-ndjson"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE_S", 0.01)
    monkeypatch.setattr(retry, "RETRY_S", 0.1)


def two(settings: Settings) -> tuple[Site, Site]:
    return Site(settings, {0, 2}, active(), B), Site(settings, {1, 3}, active(), B)


def everybody(*sites: Site) -> list[str]:
    shards = [shard for site in sites for shard in site.shards.values()]
    return sorted(user for shard in shards for frame in shard.frames for user in frame["user"])


async def post(
    session: aiohttp.ClientSession, site: Site, given: Any, accept: str = "*/*"
) -> tuple[int, Any]:
    url, headers = f"{site.context.address}/audience", {"Accept": accept}
    async with session.post(url, json=given, headers=headers) as answer:
        data = await answer.read()
        if answer.content_type == NDJSON:
            return answer.status, [json.loads(line) for line in data.splitlines()]
        found = json.loads(data)
        if answer.status != 200:
            assert answer.content_type == "application/problem+json"
            assert CODES[found["code"]][:2] == (answer.status, found["title"])
        return answer.status, found


@pytest.mark.parametrize("partition", [0, 3])
async def test_the_lag_is_not_that_of_a_time_after_the_answer(
    alone: Settings, monkeypatch: pytest.MonkeyPatch, partition: int
) -> None:
    """Events that are folded between the pin and the answer's head are not in the answer."""
    first, second = two(alone)
    shard = (first.shards | second.shards)[partition]
    shard.lag = {"interactions.send": 5}
    audience = shard.audience

    async def folds_meanwhile(
        plan: FilterPlan, members: Members
    ) -> AsyncGenerator[AudiencePart, None]:
        found = await audience(plan, members)
        shard.lag = {"interactions.send": 0}
        return found

    monkeypatch.setattr(shard, "audience", folds_meanwhile)
    async with serving(first, second) as session:
        status, page = await post(session, first, {"filter": LEAF})
        assert (status, page["lag"]) == (200, 5)


async def test_both_workers_give_all_users_in_pages(alone: Settings) -> None:
    first, second = two(alone)
    second.shards[3].lag = {"interactions.send": 5, "interactions.open": 2}
    async with serving(first, second) as session:
        for site in (first, second):
            users: list[str] = []
            cursor = None
            while True:
                given = {"filter": LEAF, "limit": 5, "cursor": cursor, "on_expired": None}
                status, page = await post(session, site, given)
                assert (status, page["count"], page["lag"]) == (200, 12, 7)
                users += page["users"]
                cursor = page["next"]
                if cursor is None:
                    break
                assert len(page["users"]) == 5
            assert users == everybody(first, second)
        status, page = await post(session, first, {"filter": LEAF, "limit": 0})
        assert (page["count"], page["users"], page["next"]) == (12, [], None)
        assert page["excluded_expired"] == []
        plans = [p for site in (first, second) for s in site.shards.values() for p in s.plans]
        assert all(plan.pins == {A: 1} for plan in plans)
    assert all(s.opened == s.closed for s in (first.shards | second.shards).values())


async def test_one_now_is_echoed_and_kept_from_page_to_page(alone: Settings) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    async with serving(site) as session:
        given = {"filter": LEAF, "limit": 1, "now": "2026-05-01T02:00:00+02:00"}
        _, page = await post(session, site, given)
        assert page["now"] == "2026-05-01T00:00:00.000Z"
        given = {"filter": LEAF, "cursor": page["next"]}
        assert (await post(session, site, given))[1]["now"] == page["now"]
        status, _ = await post(session, site, given | {"now": 1})
        assert status == 400
        given = {"filter": {"not": LEAF}, "cursor": page["next"]}
        status, problem = await post(session, site, given)
        assert (status, problem["code"]) == (409, "stale_cursor")
        _, page = await post(session, site, {"filter": LEAF, "now": 0})
        assert page["now"] == "1970-01-01T00:00:00.000Z"


async def test_a_link_asks_the_same(alone: Settings) -> None:
    site = Site(alone, {0, 1, 2, 3}, active(), B)
    url = f"/audience?{urlencode({'filter': json.dumps({'or': [LEAF, HIDDEN]})})}"
    async with serving(site) as session:

        async def get(more: str = "") -> tuple[aiohttp.ClientResponse, bytes]:
            async with session.get(site.context.address + url + more) as answer:
                return answer, await answer.read()

        answer, data = await get()
        assert (answer.status, json.loads(data)["code"]) == (409, "source_hidden")
        answer, data = await get("&on_expired=exclude&limit=2&now=0")
        page = json.loads(data)
        assert (page["count"], page["users"]) == (12, everybody(site)[:2])
        assert page["now"] == "1970-01-01T00:00:00.000Z"
        answer, data = await get(f"&on_expired=exclude&cursor={page['next']}")
        assert json.loads(data)["users"] == everybody(site)[2:]
        answer, data = await get("&on_expired=exclude&format=csv&columns=user_id,external_id")
        assert data.decode().splitlines()[0] == "user_id,external_id"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="audience.csv"'
        assert answer.headers["Emberline-Excluded-Expired"] == "campaign:b"


@pytest.mark.parametrize(
    "given",
    ["", "filter=x", "filter={}", "filter=7", "filter=[[", "limit=-1", "limit=x", "columns=a",
     "columns=", "now=soon", "on_expired=guess", "fliter=1"],
)  # fmt: skip
async def test_a_wrong_link_is_refused(alone: Settings, given: str) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    good = {"filter": json.dumps(LEAF)} | dict(parse_qsl(given, keep_blank_values=True))
    async with serving(site) as session:
        url = f"{site.context.address}/audience"
        async with session.get(url, params=good if given else {}) as answer:
            assert answer.status == 400, await answer.text()


async def test_a_stream_ends_with_its_completion_line(alone: Settings) -> None:
    first, second = two(alone)
    async with serving(first, second) as session:
        status, lines = await post(session, first, {"filter": LEAF}, NDJSON)
        assert status == 200
        assert sorted(line["user"] for line in lines[:-1]) == everybody(first, second)
        assert lines[-1] == {"complete": True, "count": 12}
        _, lines = await post(session, first, {"filter": LEAF, "limit": 4}, NDJSON)
        assert lines[-1] == {"complete": False, "count": 4}
        # the same users in the same order as in a page
        _, page = await post(session, second, {"filter": LEAF, "limit": 4})
        assert [line["user"] for line in lines[:-1]] == page["users"]
        _, lines = await post(session, first, {"filter": LEAF, "limit": 12}, NDJSON)
        assert lines[-1] == {"complete": True, "count": 12}
        both = {"or": [LEAF, HIDDEN]}
        given = {"filter": both, "on_expired": "exclude"}
        _, lines = await post(session, first, given, NDJSON)
        assert lines[-1] == {"complete": True, "count": 12, "excluded_expired": ["campaign:b"]}


async def test_hidden_sources_are_refused_with_their_restore_or_excluded(alone: Settings) -> None:
    site = Site(alone, {0, 1, 2, 3}, active(), B)
    both = {"or": [LEAF, HIDDEN]}
    async with serving(site) as session:
        for accept in ("*/*", NDJSON):
            status, problem = await post(session, site, {"filter": both}, accept)
            assert (status, problem["code"]) == (409, "source_hidden")
            assert problem["sources"] == ["campaign:b"]
            assert problem["restore"] == {"sources": ["campaign:b"]}
            assert problem["path"] == "$.or[1]"
            assert problem["refusals"][0]["sources"][0]["state"] == "EXPIRED"
        given = {"filter": both, "on_expired": "exclude"}
        status, page = await post(session, site, given)
        assert (status, page["excluded_expired"], page["count"]) == (200, ["campaign:b"], 12)
        given = {"filter": {"not": HIDDEN}, "on_expired": "exclude"}
        assert (await post(session, site, given))[0] == 409
        site.states.records["campaign:b"] = SourceState(
            "campaign:b", State.EXPIRED, 5, legacy_deleted=True
        )
        status, problem = await post(session, site, {"filter": both})
        assert (status, problem["code"]) == (410, "legacy_deleted")


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({}, "bad_request", None),
        ({"filter": LEAF, "fliter": 1}, "bad_request", None),
        ({"filter": LEAF, "limit": -1}, "bad_request", None),
        ({"filter": LEAF, "limit": True}, "bad_request", None),
        ({"filter": LEAF, "limit": 10**7}, "bad_request", None),
        ({"filter": LEAF, "now": "P1D"}, "bad_request", None),
        ({"filter": LEAF, "now": "soon"}, "bad_request", None),
        ({"filter": LEAF, "now": 10**18}, "bad_request", None),
        ({"filter": LEAF, "now": "9999-12-31T23:59:59.9999Z"}, "bad_request", None),
        ({"filter": LEAF, "on_expired": "guess"}, "bad_request", None),
        ({"filter": LEAF, "on_expired": []}, "bad_request", None),
        ({"filter": LEAF, "cursor": "x"}, "bad_request", None),
        ({"filter": LEAF, "cursor": 7}, "bad_request", None),
        ({"filter": LEAF, "cursor": str(Cursor("a", 1 << 62, "x"))}, "bad_request", None),
        ({"filter": LEAF, "cursor": str(Cursor("a", True, "x"))}, "bad_request", None),
        ([], "bad_request", None),
        ({"filter": {"and": [LEAF, {"filter": "received"}]}}, "unknown_filter", "$.and[1].filter"),
        ({"filter": {"and": [{"filter": "received_from_campaign"}]}}, "missing_argument",
         "$.and[0]"),
        ({"filter": {"not": 7}}, "bad_node", "$.not"),
        ({"filter": HIDDEN | {"campaign": "c"}}, "unknown_source", "$"),
        ({"filter": {"filter": "in_segment", "segment": "s"}}, "unknown_segment", "$"),
        ({"filter": {"filter": "received_with_tag", "tag": "t"}}, "unknown_tag", "$"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(
    alone: Settings, given: Any, code: str, path: str | None
) -> None:
    site = Site(alone, {0, 1, 2, 3}, active(), B)
    async with serving(site) as session:
        for accept in ("*/*", NDJSON):
            status, problem = await post(session, site, given, accept)
            if accept == NDJSON and isinstance(given, dict) and given.get("limit") == 10**7:
                assert status == 200
                continue
            assert (status, problem["code"]) == (404 if code == "unknown_source" else 400, code)
            assert problem.get("path") == path


async def test_size_and_depth_are_bounded(alone: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    deep: Any = LEAF
    for _ in range(40):
        deep = {"not": deep}
    async with serving(site) as session:
        assert (await post(session, site, {"filter": deep}))[1]["code"] == "too_deep"
        wide = {"or": [LEAF] * 1000}
        assert (await post(session, site, {"filter": wide}))[1]["code"] == "too_large"
        url = f"{site.context.address}/audience"
        for data in (b'{"filter":' + b"[" * 100_000, b"\xff", b""):
            async with session.post(url, data=data, headers=JSON) as answer:
                assert answer.status == 400
        monkeypatch.setattr(body, "MOST_BYTES", 100)
        async with session.post(url, data=_chunked(b" " * (2 << 20)), headers=JSON) as answer:
            assert answer.status == 413
        async with session.post(url, json={"filter": LEAF}, headers={"Accept": "a/b"}) as answer:
            assert answer.status == 406


async def test_a_tag_of_a_thousand_sources_makes_no_endless_answer(alone: Settings) -> None:
    many = [SourceState(f"canvas:{at:04}", State.EXPIRED, 1, tags=("t",)) for at in range(1_500)]
    site = Site(alone, {0, 1, 2, 3}, active(), *many)
    for state in many:
        entry = {"key": state.source, "status": "STOPPED", "tags": ["t"]}
        site.context.catalog.put(CatalogEntry.from_record(entry))
    last = {"filter": "last_received_with_tag", "tag": "t", "before": "P1D"}
    async with serving(site) as session:
        status, problem = await post(session, site, {"filter": {"or": [last] * 30}})
        assert (status, problem["refusals_total"], problem["sources_total"]) == (409, 30, 1_500)
        assert len(problem["restore"]["sources"]) == 1_500
        assert (len(problem["sources"]), len(problem["refusals"])) == (1_000, 1)
        assert len(problem["refusals"][0]["sources"]) == 999
        assert problem["refusals"][0]["sources_total"] == 1_500
        assert len(json.dumps(problem)) < 300_000
        any_ = {"filter": "received_with_tag", "tag": "t"}
        status, page = await post(session, site, {"filter": {"or": [any_] * 30}})
        assert (status, page["excluded_total"], len(page["excluded"])) == (200, 45_000, 1_000)
        assert len(page["excluded_expired"]) == 1_500
        for accept in ("*/*", NDJSON):
            status, problem = await post(session, site, {"filter": {"or": [any_] * 34}}, accept)
            assert (status, problem["code"]) == (400, "too_large")
            assert problem["path"] == "$.or[33]"


async def test_a_plan_too_long_for_another_worker_is_an_error_of_the_filter(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_json, "MOST_BYTES", 100)
    first, second = two(alone)
    async with serving(first, second) as session:
        status, problem = await post(session, first, {"filter": {"or": [LEAF] * 2}})
        assert (status, problem["code"]) == (400, "too_large")


async def _chunked(data: bytes) -> Any:
    for at in range(0, len(data), 1 << 16):
        yield data[at : at + (1 << 16)]


def _breaks_off(first: Site, second: Site) -> None:
    second.shards[3].breaks = Recoverable("the store is gone")


def _not_read(first: Site, second: Site) -> None:
    first.context.catalog = CatalogView()


@pytest.mark.parametrize("spoil", [*SPOILS, _breaks_off, _not_read])
async def test_without_all_shards_there_is_no_answer(
    alone: Settings, spoil: Callable[[Site, Site], None]
) -> None:
    first, second = two(alone)
    async with serving(first, second) as session:
        spoil(first, second)
        status, problem = await post(session, first, {"filter": LEAF})
        assert (status, problem["code"]) == (503, "shards_unavailable")
        if spoil is _breaks_off:
            with pytest.raises(aiohttp.ClientError):
                await post(session, first, {"filter": LEAF}, NDJSON)
        else:
            assert (await post(session, first, {"filter": LEAF}, NDJSON))[0] == 503


async def test_a_shard_that_comes_back_in_time_is_waited_for(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_S", 30.0)
    first, second = two(alone)
    second.shards[3].ready = False
    async with serving(first, second) as session:
        asyncio.get_running_loop().call_later(0.1, setattr, second.shards[3], "ready", True)
        status, page = await post(session, first, {"filter": LEAF})
    assert (status, page["users"]) == (200, everybody(first, second))


async def test_the_catalog_says_what_segments_tags_and_steps_are(alone: Settings) -> None:
    site = Site(alone, {0, 1, 2, 3}, active(), SourceState("canvas:d", State.STOPPED, 2))
    for shard in site.shards.values():
        shard.versions["canvas:d"] = 2

    def define(key: str, **more: Any) -> None:
        record = {"key": key, "status": "ACTIVE", **more}
        site.context.catalog.put(CatalogEntry.from_record(record))

    define("segment:s", filters=json.dumps(LEAF))
    define("canvas:d", tags=["t"], steps=[{"id": "s1"}])
    step = {"filter": "received_from_step", "canvas": "d", "step": "s2"}
    in_segment = {"filter": "in_segment", "segment": "s"}
    async with serving(site) as session:
        assert (await post(session, site, {"filter": in_segment}))[0] == 200
        tagged = {"filter": "received_with_tag", "tag": "t"}
        assert (await post(session, site, {"filter": tagged}))[0] == 200
        assert site.shards[0].plans[-1].pins == {"canvas:d": 2}
        status, problem = await post(session, site, {"filter": step})
        assert (status, problem["code"]) == (400, "unknown_step")
        assert (await post(session, site, {"filter": step | {"step": "s1"}}))[0] == 200
        site.context.catalog.apply(b"k/segment:s", None)
        assert (await post(session, site, {"filter": in_segment}))[1]["code"] == "unknown_segment"


def test_every_code_is_in_the_documented_list() -> None:
    assert set(FILTER_CODES) | {code.value for code in Code} <= CODES.keys()
    assert all(CODES[code][0] == 400 for code in FILTER_CODES)


async def test_the_command_writes_complete_answers_and_reports_others(
    alone: Settings, tmp_path: Path
) -> None:
    first, second = two(alone)
    async with serving(first, second):
        port = first.context.address.rpartition(":")[2]
        settings = load({"http_port": port}, env={}, file=tmp_path / "none")
        sink = io.BytesIO()
        assert await stream(settings, {"filter": LEAF}, sink) == []
        lines = [json.loads(line) for line in sink.getvalue().splitlines()]
        assert lines[-1] == {"complete": True, "count": 12}
        given = {"filter": {"or": [LEAF, HIDDEN]}, "on_expired": "exclude"}
        assert await stream(settings, given, io.BytesIO()) == ["campaign:b"]
        assert (await count(settings, {"filter": LEAF, "limit": 0}))["count"] == 12
        with pytest.raises(EmberlineError, match="emberline restore campaign:b"):
            await stream(settings, {"filter": HIDDEN}, io.BytesIO())
        with pytest.raises(UsageError, match="there is no filter"):
            await count(settings, {"filter": {"filter": "x"}})
        second.shards[3].breaks = Recoverable("the store is gone")
        with pytest.raises(Recoverable, match="incomplete"):
            await stream(settings, {"filter": LEAF}, io.BytesIO())
    with pytest.raises(EmberlineError, match="No worker answers"):
        await count(settings, {"filter": LEAF})

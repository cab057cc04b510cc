"""Routes over real HTTP, on dummy shards; two workers ask each other."""

import asyncio
import csv
import io
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import polars as pl
import pytest
from yarl import URL

from agents.cli.export import fetch
from agents.http.problems import CODES
from agents.scatter import retry
from agents.supervision.shard_manager import NotHeld, SourceSize
from agents.web import stream
from schemas.errors import EmberlineError, Recoverable
from schemas.records.lifecycle import SourceState, State
from streams.kafka.topics import TopicProblem
from streams.settings import Settings, load
from tests.rigs.dummies import rows, until
from tests.rigs.site import JSON, SHARDS, SPOILS, A, Site, active, alone, raw, serving, two

__all__ = ["alone"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE_S", 0.01)
    monkeypatch.setattr(retry, "RETRY_S", 0.1)


USERS = sorted(f"u{p}-{n}" for p in range(SHARDS) for n in range(3))


async def _ndjson(body: bytes) -> list[str]:
    *lines, last = body.splitlines()
    assert json.loads(last) == {"complete": True, "count": len(lines)}
    found = [json.loads(line) for line in lines]
    assert list(found[0]) == [
        "source", "user", "kind", "channel", "step", "variation", "detail", "first", "last"
    ]  # fmt: skip
    assert found[0]["step"] is None
    assert (found[0]["first"], found[0]["last"]) == (1, 2)
    return [row["user"] for row in found]


async def _csv(body: bytes) -> list[str]:
    found = list(csv.DictReader(io.StringIO(body.decode())))
    assert found[0]["step"] == ""
    return [row["user"] for row in found]


async def _parquet(body: bytes) -> list[str]:
    return pl.read_parquet(io.BytesIO(body))["user"].to_list()


@pytest.mark.parametrize(
    ("format_", "accept", "read"),
    [
        ("ndjson", "application/x-ndjson", _ndjson),
        ("csv", "text/csv;q=0.9, text/html;q=0.2", _csv),
        ("parquet", "application/vnd.apache.parquet", _parquet),
    ],
)
async def test_rows_of_all_shards_of_both_workers(
    alone: Settings, format_: str, accept: str, read: Callable[[bytes], Any]
) -> None:
    first, second = two(alone)
    async with serving(first, second) as session:
        for ask in (
            session.get(first.path(f"/interactions?format={format_}")),
            session.get(second.path(), headers={"Accept": accept}),
        ):
            async with ask as answer:
                assert answer.status == 200
                assert sorted(await read(await answer.read())) == USERS
    assert all(shard.closed == 2 for shard in (first.shards | second.shards).values())


@pytest.mark.parametrize("format_", ["ndjson", "csv", "parquet"])
async def test_no_rows_is_an_answer(alone: Settings, format_: str) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    for shard in site.shards.values():
        shard.frames = []
    url = f"/interactions?format={format_}"
    async with serving(site) as session, session.get(site.path(url)) as answer:
        body = await answer.read()
    if format_ == "ndjson":
        assert body == b'{"complete": true, "count": 0}\n'
    elif format_ == "csv":
        assert body == b"source,user,kind,channel,step,variation,detail,first,last\n"
    else:
        assert pl.read_parquet(io.BytesIO(body)).shape == (0, 9)


@pytest.mark.parametrize(
    ("record", "status", "code"),
    [
        (None, 404, "unknown_source"),
        (SourceState(A, State.EXPIRING, 2), 409, "source_hidden"),
        (SourceState(A, State.EXPIRED, 3), 409, "source_hidden"),
        (SourceState(A, State.RESTORING, 4), 409, "source_hidden"),
        (SourceState(A, State.EXPIRED, 4, legacy_deleted=True), 410, "legacy_deleted"),
    ],
)
async def test_refusals(
    alone: Settings, record: SourceState | None, status: int, code: str
) -> None:
    site = Site(alone, {0, 1, 2, 3}, *filter(None, [record]))
    async with serving(site) as session, session.get(site.path()) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert CODES[code][:2] == (status, problem["title"])
    assert problem["message"] == problem["detail"], "clients of the platform read this member"
    if status == 409:
        assert problem["restore"] == {"sources": [A]}


@pytest.mark.parametrize("spoil", SPOILS)
async def test_without_all_shards_there_is_no_answer(
    alone: Settings, spoil: Callable[[Site, Site], None]
) -> None:
    first, second = two(alone)
    async with serving(first, second) as session:
        spoil(first, second)
        async with session.get(first.path()) as answer:
            problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"]) == (503, "shards_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert all(s.opened == s.closed for s in (first.shards | second.shards).values())


async def test_a_shard_that_comes_back_in_time_is_waited_for(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_S", 30.0)
    first, second = two(alone)
    second.shards[3].ready = False
    async with serving(first, second) as session:
        asyncio.get_running_loop().call_later(0.1, setattr, second.shards[3], "ready", True)
        async with session.get(first.path()) as answer:
            assert sorted(await _ndjson(await answer.read())) == USERS


@pytest.mark.parametrize("format_", ["ndjson", "csv"])
@pytest.mark.parametrize("partition", [0, 3])
async def test_what_breaks_off_does_not_look_whole(
    alone: Settings, format_: str, partition: int
) -> None:
    first, second = two(alone)
    (first.shards | second.shards)[partition].breaks = Recoverable("the store is gone")
    url = f"/interactions?format={format_}"
    async with serving(first, second) as session, session.get(first.path(url)) as answer:
        assert answer.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await answer.read()


async def test_a_parquet_file_that_breaks_off_is_not_sent(alone: Settings) -> None:
    first, second = two(alone)
    second.shards[3].breaks = Recoverable("the store is gone")
    url = "/interactions?format=parquet"
    async with serving(first, second) as session, session.get(first.path(url)) as answer:
        assert answer.status == 503
    assert list(alone.data_dir.iterdir()) == []


async def test_sources_are_listed_found_and_paged(alone: Settings) -> None:
    records = [
        SourceState("campaign:a", State.ACTIVE, 1, name="Spring sale", tags=("vip",)),
        SourceState("campaign:b", State.EXPIRED, 5, name="Autumn"),
        SourceState("canvas:c", State.STOPPED, 1, name="Welcome, spring", due_at=7),
    ]
    first, second = Site(alone, {0, 2}, *records), Site(alone, {1, 3}, *records)
    async with serving(first, second) as session:

        async def names(query: str) -> tuple[list[str], str | None]:
            async with session.get(f"{first.context.address}/sources?{query}") as answer:
                assert answer.status == 200
                body = await answer.json()
                return [source["source"] for source in body["sources"]], body["next"]

        assert await names("limit=2") == (["campaign:a", "campaign:b"], "campaign:b")
        assert await names("limit=2&cursor=campaign:b") == (["canvas:c"], None)
        assert await names("name=SPRING") == (["campaign:a", "canvas:c"], None)
        assert await names("kind=canvas") == (["canvas:c"], None)
        assert await names("state=expired") == (["campaign:b"], None)
        assert await names("tag=vip") == (["campaign:a"], None)
        for bad in ("limit=0", "limit=x", f"limit={'9' * 5_000}", "kind=segment", "state=gone"):
            async with session.get(f"{first.context.address}/sources?{bad}") as answer:
                assert answer.status == 400
        async with session.get(first.path("")) as answer:
            one = await answer.json()
    assert one["sizes"]["rows"] == len(USERS)
    assert (one["state"], one["visible"], one["missing_shards"]) == ("ACTIVE", True, [])


async def test_sources_come_in_an_order_in_pages(alone: Settings) -> None:
    records = [
        SourceState("campaign:a", State.STOPPED, 1, name="Spring", tags=("vip", "2026"), due_at=9),
        SourceState("campaign:b", State.EXPIRED, 5, name="autumn", tags=("vip",)),
        SourceState("canvas:c", State.STOPPED, 1, name="Welcome", tags=("2026",), due_at=7),
        SourceState("canvas:d", State.ACTIVE, 1, name="Daily"),
    ]
    first, second = Site(alone, {0, 2}, *records), Site(alone, {1, 3}, *records)
    for shard in (first.shards | second.shards).values():
        shard.versions = {}
        shard.held = {
            "campaign:a": SourceSize(rows=5, bytes=50, segments=1, last_day=20_000),
            "campaign:b": SourceSize(archived_rows=9, archived_bytes=90, last_day=20_400),
            "canvas:c": SourceSize(rows=1, bytes=10, segments=1, last_day=shard.partition),
        }
    async with serving(first, second) as session:

        async def asked(query: str, status: int = 200) -> Any:
            async with session.get(f"{first.context.address}/sources?{query}") as answer:
                assert answer.status == status, query
                return await answer.json(content_type=None)

        async def ids(query: str) -> str:
            found, cursor = "", ""
            while True:
                body = await asked(f"{query}&limit=1{cursor}")
                assert len(body["sources"]) == 1
                found += str(body["sources"][0]["source"])[-1]
                if body["next"] is None:
                    return found
                cursor = f"&cursor={quote(body['next'])}"

        assert await ids("sort=due_at") == "cabd"
        assert await ids("sort=due_at&order=desc") == "acbd"
        assert await ids("sort=name") == "bdac"
        assert await ids("sort=interactions&order=desc") == "bacd"
        assert await ids("sort=bytes") == "bcad"
        assert await ids("sort=archived_bytes&order=desc") == "bacd"
        assert await ids("sort=last_event_on&order=desc") == "bacd"
        assert await ids("state=STOPPED&state=expired&sort=name") == "bac"
        assert await ids("tag=vip&tag=2026") == "a"
        assert await ids("kind=canvas&kind=campaign&order=desc") == "abcd"
        body = await asked("sort=interactions&order=desc")
        assert body["sorted_at"] > 0
        assert [one["last_event_on"] for one in body["sources"]] == [
            "2025-11-08", "2024-10-04", "1970-01-04", None
        ]  # fmt: skip
        assert (await asked("sort=name"))["sorted_at"] is None
        cursor = (await asked("sort=due_at&limit=1"))["next"]
        for bad in ("sort=size", "order=up", "sort=name&cursor=x", f"sort=name&cursor={cursor}"):
            assert (await asked(bad, 400))["code"] == "bad_request"


async def test_a_page_of_a_long_list_asks_for_the_sizes_of_its_own_sources(alone: Settings) -> None:
    records = [SourceState(f"campaign:{n:05}", State.ACTIVE, 1) for n in range(5_000)]
    site = Site(alone, {0, 1, 2, 3}, *records)
    async with serving(site) as session:
        url = f"{site.context.address}/sources?limit=50&sort=name&order=desc"
        async with session.get(url) as answer:
            body = await answer.json()
    assert (body["total"], len(body["sources"])) == (5_000, 50)
    for shard in site.shards.values():
        assert shard.sized == [tuple(one["source"] for one in body["sources"])]


async def test_sizes_are_not_partial(alone: Settings) -> None:
    site = Site(alone, {0, 1, 2}, active())
    async with serving(site) as session, session.get(site.path("")) as answer:
        one = await answer.json()
    assert (one["sizes"], one["missing_shards"]) == (None, [3])


async def test_a_worker_out_of_touch_with_its_group_does_not_answer(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> None:
        raise NotHeld("this worker has not heard from its group for 12 s")

    monkeypatch.setattr(retry, "RETRY_S", 0.0)
    site = Site(alone, {0, 1, 2, 3}, SourceState(A, State.ACTIVE, 1))
    async with serving(site) as session:
        site.manager.in_touch, site.manager.check_in_touch = False, lost
        async with session.get(site.path()) as answer:
            assert answer.status == 503
            assert "12 s" in (await answer.json(content_type=None))["detail"]
        async with session.get(f"{site.context.address}/readyz") as answer:
            problem = await answer.json(content_type=None)
            assert (answer.status, problem["awaited"]) == (503, ["word from the group"])


async def misled(site: Site, ask: Callable[[str], Awaitable[tuple[int, Any]]]) -> None:
    """A worker with a newer view would otherwise return an answer with missing rows."""
    watch = site.context.topics
    watch.findings = (
        TopicProblem("x.interactions.send", "partitions", "6", "4", "Take a new prefix"),
        TopicProblem("x.archive", "retention.ms", "1", "-1", "Set it"),
    )
    watch._unread = {("x.interactions.send", 5): 7}
    status, problem = await ask("/readyz")
    assert status == 503
    assert problem["awaited"] == ["topic x.interactions.send: partitions is 6, must be 4"]
    _, figures = await ask("/status")
    assert [one["remedy"] for one in figures["topics"]] == ["Take a new prefix", "Set it"]
    shards = {shard["partition"]: shard for shard in figures["shards"]}
    assert shards[1]["unread"] == {"x.interactions.send": 7}
    assert shards[1]["cursor_lag"] - sum(shards[1]["lag"].values()) == 7
    watch.findings, watch._unread = (), {}
    assert (await ask("/readyz"))[0] == 200


async def test_readiness(alone: Settings) -> None:
    site = Site(alone, {0, 1}, active())
    base = "{0.context.address}"

    async def ask(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
        async with session.get(base.format(site) + path) as answer:
            return answer.status, await answer.json(content_type=None)

    async with serving(site) as session:
        assert (await ask(session, "/readyz"))[0] == 200
        site.shards[1].ready = False
        status, problem = await ask(session, "/readyz")
        assert (status, problem["awaited"]) == (503, ["shard 1"])
        site.shards[1].ready = True
        await misled(site, partial(ask, session))
        site.states.caught_up.clear()
        assert (await ask(session, "/readyz"))[0] == 503
        assert (await ask(session, "/sources"))[0] == 503
        site.manager.generation = -1
        assert (await ask(session, "/readyz"))[0] == 503
        assert (await ask(session, "/healthz"))[0] == 200
        status, figures = await ask(session, "/status")
        assert [shard["rows"] for shard in figures["shards"]] == [3, 3]
        assert (await ask(session, "/nowhere"))[1]["code"] == "not_found"
        async with session.delete(base.format(site) + "/sources") as answer:
            assert answer.status == 405


@pytest.mark.parametrize("name", ["{id}", "}{", "a/b", "a b", "50%", "ü", "\n"])
async def test_a_part_of_a_path_is_any_text(alone: Settings, name: str) -> None:
    site = Site(alone, {0, 1, 2, 3}, active(), SourceState(f"campaign:{name}", State.ACTIVE, 1))
    part = quote(name, safe="")
    async with serving(site) as session:
        url = f"{site.context.address}/users/{part}"
        async with session.get(URL(url, encoded=True)) as answer:
            problem = await answer.json(content_type=None)
            assert (problem["code"], problem["user"]) == ("unknown_user", name)
        url = f"{site.context.address}/sources/campaign:{part}"
        async with session.get(URL(url, encoded=True)) as answer:
            assert (answer.status, (await answer.json())["source"]) == (200, f"campaign:{name}")


async def test_an_unforeseen_error_is_a_problem_too(alone: Settings) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    site.states.records[A] = cast(SourceState, "not a record")
    async with serving(site) as session, session.get(site.path("")) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"]) == (500, "internal")


async def test_what_a_request_may_hold_fits_between_workers_too(alone: Settings) -> None:
    first, second = two(alone)
    # in JSON between workers each of these characters is three times as long
    ids = ["é" * 9_000 + str(n) for n in range(45)]
    given = json.dumps({"external_ids": ids}, ensure_ascii=False)
    async with serving(first, second) as session:
        url = f"{first.context.address}/users/export/ids"
        async with session.post(url, data=io.BytesIO(given.encode()), headers=JSON) as answer:
            assert (answer.status, (await answer.json())["invalid_user_ids"]) == (200, ids)


async def test_the_label_of_an_alias_is_a_text(alone: Settings) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    async with serving(site) as session:
        url = f"{site.context.address}/users/export/ids"
        for more, status in (({}, 200), ({"alias_label": ""}, 200), ({"alias_label": True}, 400)):
            given = {"user_aliases": [{"alias_name": "one", **more}]}
            async with session.post(url, json=given) as answer:
                assert answer.status == status


async def test_a_client_that_stops_reading_is_disconnected(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STALL_S", 0.1)
    site = Site(alone, {0, 1, 2, 3}, active())
    for shard in site.shards.values():
        shard.frames = [rows(A, *(f"user-{n}" for n in range(20_000)))] * 20
    async with serving(site) as session, session.get(site.path()) as answer:
        assert answer.status == 200
        await until(lambda: all(s.opened == s.closed == 1 for s in site.shards.values()))


@pytest.mark.parametrize("path", ["interactions", "interactions?format=parquet", "users.csv"])
async def test_a_client_that_would_not_see_the_end_of_a_stream_gets_none(
    alone: Settings, path: str
) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    async with serving(site):
        status, problem = await raw(site, f"GET /sources/{A}/{path} HTTP/1.0\r\n\r\n")
        assert (status, problem["code"]) == (400, "bad_request")
        assert "HTTP/1.1" in problem["detail"]
        # what is no stream is for all
        assert (await raw(site, "GET /sources HTTP/1.0\r\n\r\n"))[0] == 200
    assert all(shard.opened == shard.closed for shard in site.shards.values())


async def test_export_writes_what_is_whole_and_refuses_the_rest(alone: Settings) -> None:
    first, second = two(alone)
    async with serving(first, second):
        port = first.context.address.rpartition(":")[2]
        settings = load({"http_port": port}, env={}, file=alone.data_dir / "none")
        sink = io.BytesIO()
        size = (await fetch(settings, A, "ndjson", sink)).size
        assert size == len(sink.getvalue())
        assert sorted(await _ndjson(sink.getvalue())) == USERS
        second.shards[3].breaks = Recoverable("the store is gone")
        with pytest.raises(EmberlineError, match="incomplete"):
            await fetch(settings, A, "ndjson", io.BytesIO())
        first.states.records[A] = SourceState(A, State.EXPIRED, 2)
        with pytest.raises(EmberlineError, match="emberline restore campaign:a"):
            await fetch(settings, A, "csv", io.BytesIO())
    with pytest.raises(EmberlineError, match="No worker answers"):
        await fetch(settings, A, "csv", io.BytesIO())


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("state=expird", "Did you mean EXPIRED?"),
        ("kind=campain", "Did you mean campaign?"),
        ("stat=EXPIRED", "Did you mean state?"),
    ],
)
async def test_a_misspelt_query_selects_nothing_in_silence(
    alone: Settings, query: str, told: str
) -> None:
    site = Site(alone, {0, 1, 2, 3}, SourceState(A, State.ACTIVE, 1))
    async with (
        serving(site) as session,
        session.get(f"{site.context.address}/sources?{query}") as answer,
    ):
        assert answer.status == 400
        assert told in (await answer.json())["detail"]

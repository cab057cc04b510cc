"""Audiences over real HTTP from real workers, compared with an independent evaluation."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.tools.operator_requests import ask, command
from agents.tools.publish import publish
from streams.kafka import topics as topic_admin
from streams.kafka.offsets import bounds
from streams.kafka.topics import Topics
from streams.settings import Settings, load
from tests.rigs import day
from tests.rigs.filters import histories
from tests.rigs.filters.brute import NOW, Event, Facts, Invalid, SourceFacts, judge
from tests.rigs.worker import DEADLINE_S, Process, running

pytestmark = [pytest.mark.connected, pytest.mark.slow]

SHARDS = 4
#: So small that this little history is flushed, shared and merged.
SMALL = {"delta_rows": 40, "segment_rows": 30, "own_rows": 10}


def _settings(broker: str, prefix: str, folder: Path) -> Settings:
    flags = {
        "bootstrap_servers": broker,
        "prefix": prefix,
        "partitions": SHARDS,
        "data_dir": folder / "data",
        "http_port": 0,
        **SMALL,
    }
    return load(flags, env={}, file=folder / "none")


def _history() -> tuple[Facts, list[Event]]:
    """The facts of some hundreds of events, and the events that producers send."""
    events = [
        event for known in day.some(histories.facts(hidden=False), 14) for event in known.events
    ]
    known = Facts(
        roster=set(histories.USERS),
        events=day.told(events),
        sources={
            "campaign:a": SourceFacts("ACTIVE", variations=histories.VARIATIONS),
            "campaign:b": SourceFacts("STOPPED"),
            "canvas:c": SourceFacts("ACTIVE", steps=histories.STEPS, variations=("v1", "v2")),
            "canvas:d": SourceFacts("STOPPED", steps=histories.STEPS),
        },
        tags={"t1": ["campaign:a", "canvas:c"], "t2": ["campaign:b", "canvas:d", "campaign:a"]},
        segments=dict(zip(("segment:g1", "segment:g2"), _segments(), strict=True)),
    )
    for event in events:
        if event.kind == "feed_view":
            known.views[event.user] = known.views.get(event.user, 0) + 1
    return known, events


def _segments() -> list[Any]:
    return [
        {"and": [{"filter": "received_from_campaign", "campaign": "a"},
                 {"not": {"filter": "received_from_campaign", "campaign": "b"}}]},
        {"or": [{"filter": "last_engaged", "after": "P30D"},
                {"filter": "in_segment", "segment": "g1", "has": False}]},
    ]  # fmt: skip


class Site:
    """A worker process and a client."""

    def __init__(self, worker: Process, session: aiohttp.ClientSession) -> None:
        self.worker = worker
        self.session = session

    async def post(self, body: Any, accept: str = "*/*") -> tuple[int, Any, Any]:
        url = f"{self.worker.facts['address']}/audience"
        headers = {"Accept": accept}
        async with self.session.post(url, json=body, headers=headers) as answer:
            data = await answer.read()
            if accept == "application/x-ndjson" and answer.status == 200:
                return (
                    answer.status,
                    [json.loads(line) for line in data.splitlines()],
                    answer.headers,
                )
            return answer.status, json.loads(data), answer.headers

    async def others(self, user: str) -> dict[str, Any]:
        """What it tells of a user and of a source; None where some shard is not there."""
        base = str(self.worker.facts["address"])
        found: dict[str, Any] = {}
        for name, path in (
            ("profile", f"/users/{user}"),
            ("csv", "/sources/campaign:a/users.csv"),
            ("analytics", "/sources/campaign:a/analytics"),
            ("explain", "/sources/campaign:a/explain"),
        ):
            async with self.session.get(base + path) as answer:
                assert answer.status in (200, 503), (path, await answer.text())
                text = await answer.text()
                if name == "explain" and answer.status == 200:
                    text = json.loads(text)["summary"]  # when it would expire moves with the clock
                found[name] = sorted(text.splitlines()) if answer.status == 200 else None
        async with self.session.post(
            f"{base}/users/export/ids", json={"external_ids": [user], "braze_id": user}
        ) as answer:
            found["ids"] = await answer.json() if answer.status == 200 else None
        return found

    async def status(self) -> dict[str, Any]:
        return await self.worker.status(self.session)

    async def settled(self, settings: Settings) -> None:
        """Wait until everything published is folded and the sources have their states."""
        topics = Topics(settings.prefix)
        parts = [(t, p) for t in (*topics.events.values(), topics.users) for p in range(SHARDS)]
        ends = {part: end for part, (_, end) in (await bounds(settings, parts)).items()}
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await self.status()
                cursors = {s["partition"]: s["cursor"] for s in found["shards"]}
                behind = [
                    (topic, p)
                    for (topic, p), end in ends.items()
                    if p in cursors and cursors[p].get(topic, 0) < end
                ]
                repart = any(s["lag"].get(topics.repartition, 0) for s in found["shards"])
                if (
                    found["ready"]
                    and not behind
                    and not repart
                    and sum(found["sources"].values()) == 4
                ):
                    return
                await asyncio.sleep(0.1)


async def _expire(settings: Settings, source: str) -> None:
    request = command("expire", (source,), reason="test")
    answer = await ask(settings, request, wait=True, silence_s=DEADLINE_S)
    assert not answer.bad, answer


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def _agrees(site: Site, known: Facts, tree: Any, exclude: bool) -> str:
    body = {"filter": tree, "now": NOW, "on_expired": "exclude" if exclude else "refuse"}
    status, found, _ = await site.post(body)
    try:
        expected = judge(tree, known, exclude=exclude)
    except Invalid:
        assert (status, found["code"]) == (400, "impossible_range"), tree
        return "invalid"
    if status != 200:
        refused = {
            (each["code"], each["path"], tuple(each["through"]),
             tuple(one["source"] for one in each["sources"]))
            for each in found["refusals"]
        }  # fmt: skip
        assert refused == expected.refused, tree
        return str(found["code"])
    assert expected.refused == set(), tree
    assert found["users"] == sorted(expected.users), tree
    assert found["count"] == len(expected.users)
    assert set(found["excluded_expired"]) == {source for source, _ in expected.excluded}
    assert found["now"] == "2026-03-31T12:00:00.000Z"
    return "excluded" if expected.excluded else "answered"


async def test_a_random_history_is_answered_as_by_brute_force_expired_sources_included(
    broker: str, prefix: str, tmp_path: Path, stack: AsyncExitStack
) -> None:
    settings = _settings(broker, prefix, tmp_path)
    await topic_admin.create(settings)
    known, events = _history()
    trees = day.some(histories.trees(), 150)
    random.Random(4).shuffle(events)
    await publish(settings, [day.definitions(known)])
    await publish(settings, [day.users(known.roster, ["deleted"], ["merged"])])
    await publish(settings, day.chunks(events))
    worker = await stack.enter_async_context(running(settings))
    await worker.ready()
    site = Site(worker, await stack.enter_async_context(aiohttp.ClientSession()))
    await site.settled(settings)
    seen = [await _agrees(site, known, tree, False) for tree in trees]
    assert seen.count("answered") > 30
    assert len(set(seen)) > 3
    # every filter by itself
    for name, leaves in histories.LEAVES.items():
        for tree in day.some(leaves, 3):
            assert await _agrees(site, known, tree, False), name
    await _expire(settings, "campaign:b")
    known.sources["campaign:b"].state = "EXPIRED"
    seen = [await _agrees(site, known, tree, False) for tree in trees]
    assert "source_hidden" in seen
    seen = [await _agrees(site, known, tree, True) for tree in trees]
    assert {"excluded", "source_hidden"} <= set(seen)


LEAF = {"filter": "received_from_campaign", "campaign": "a"}


async def test_workers_answer_alike_while_a_third_joins_and_one_is_killed(
    broker: str, prefix: str, tmp_path: Path, stack: AsyncExitStack
) -> None:
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    for folder in folders:
        folder.mkdir()
    one, two, three = (_settings(broker, prefix, folder) for folder in folders)
    await topic_admin.create(one)
    known, events = _history()
    await publish(one, [day.definitions(known), *day.chunks(events)])
    await publish(one, [day.users(known.roster, ["deleted"], ["merged"])])
    session = await stack.enter_async_context(aiohttp.ClientSession())
    first = Site(await stack.enter_async_context(running(one)), session)
    second = Site(await stack.enter_async_context(running(two)), session)
    for site in (first, second):
        await site.worker.ready()
    for site in (first, second):
        await site.settled(one)
    body = {"filter": LEAF, "now": NOW}
    expected = sorted(judge(LEAF, known).users)
    assert expected
    async with asyncio.timeout(DEADLINE_S):
        while len((await first.status())["shards"]) == SHARDS:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    for site in (first, second):
        status, found, _ = await site.post(body)
        assert (status, found["users"]) == (200, expected)
        status, lines, headers = await site.post(body, "application/x-ndjson")
        assert status == 200
        assert sorted(line["user"] for line in lines[:-1]) == expected
        assert lines[-1] == {"complete": True, "count": len(expected)}
        assert headers["Emberline-Now"] == "2026-03-31T12:00:00.000Z"
    told = await first.others(expected[0])
    assert None not in told.values()
    assert await second.others(expected[0]) == told

    third = Site(await stack.enter_async_context(running(three)), session)
    seen: set[int] = set()
    async with asyncio.timeout(DEADLINE_S):
        joined = asyncio.create_task(third.worker.ready())
        while not joined.done():
            for site in (first, second):
                seen.add(await _alike(site, expected))
        await joined
        await _all_alike([first, second, third], expected, told, seen)
    first.worker.kill()
    await first.worker.ended()
    async with asyncio.timeout(DEADLINE_S):
        await _all_alike([second, third], expected, told, seen)
    # never an answer of half of the shards
    assert seen <= {503, 200}


async def _alike(site: Site, expected: list[str]) -> int:
    """One answer: all of it, or none for now and when to ask again."""
    status, found, headers = await site.post({"filter": LEAF, "now": NOW})
    if status == 503:
        assert found["code"] == "shards_unavailable"
        assert int(headers["Retry-After"]) > 0
    else:
        assert (status, found["users"]) == (200, expected)
    return int(status)


async def _all_alike(
    sites: list[Site], expected: list[str], told: dict[str, Any], seen: set[int]
) -> None:
    """Ask until every site gives every answer; each that comes is the right one."""
    for site in sites:
        while True:
            status = await _alike(site, expected)
            seen.add(status)
            others = await site.others(expected[0])
            assert all(found in (None, told[name]) for name, found in others.items())
            if status == 200 and None not in others.values():
                break

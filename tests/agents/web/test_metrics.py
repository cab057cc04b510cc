"""GET /metrics: what it says, to whom, and what it costs."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.http.keys import Scope
from agents.scatter.largest import EVERY_S, LargestSources
from agents.shard.protocol import SourceSize
from agents.views.state_view import StateView
from agents.web.worker_metrics import worker_metrics
from schemas.records import codec
from schemas.records.lifecycle import Failure, SourceState, State
from streams.clock import ManualClock
from streams.metrics.exposition import Families, encode
from streams.metrics.names import ALL
from streams.settings import Settings
from tests.rigs.given import Given
from tests.rigs.site import SHARDS, A, Site, active, alone, serving, settings

__all__ = ["alone"]

FAILURE = Failure("archive_damaged", 1, "archive[1]@7", "x", "damaged", "Mend it", 1_000)
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Figures:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(session: aiohttp.ClientSession, site: Site) -> Figures:
    async with session.get(f"{site.context.address}/metrics") as answer:
        assert answer.status == 200
        return parsed(await answer.text())


async def test_a_worker_tells_its_shards_its_sources_and_its_requests(alone: Settings) -> None:
    stuck = SourceState("campaign:s", State.EXPIRING, 2, stuck=(1,), updated_at=1_000)
    failed = SourceState("campaign:f", State.EXPIRED, 5, failure=FAILURE)
    site = Site(alone, {0, 2}, active(), stuck, failed)
    site.shards[2].lag = {"t": 7}
    site.shards[2].ready = False
    async with serving(site) as session:
        async with session.get(f"{site.context.address}/sources/{A}/nowhere"):
            pass
        async with session.get(f"{site.context.address}/sources/campaign:zzz"):
            pass
        found = await scraped(session, site)
        again = await scraped(session, site)
    assert found["emberline_ready", ()] == 0
    assert found["emberline_shards_held", ()] == 2
    assert found["emberline_shards_ready", ()] == 1
    assert found["emberline_partitions", ()] == SHARDS
    assert found["emberline_lag_events", (("shard", "2"),)] == 7
    assert ("emberline_lag_seconds", (("shard", "2"),)) not in found  # nothing is folded
    assert found["emberline_lag_seconds", (("shard", "0"),)] == 0
    assert found["emberline_hot_rows", (("shard", "0"),)] == 3
    assert found["emberline_sources", (("state", "EXPIRING"),)] == 1
    assert found["emberline_sources_stuck", ()] == found["emberline_sources_failed", ()] == 1
    assert found["emberline_sources_stuck_oldest_seconds", ()] > 1e6
    counted = {
        labels: value for (name, labels), value in again.items() if name.endswith("requests_total")
    }
    # by the pattern of the route, so that no path makes a series of its own
    assert counted == {
        (("code", "404"), ("method", "GET"), ("route", "/sources/{source}")): 1,
        (("code", "404"), ("method", "GET"), ("route", "other")): 1,
        (("code", "200"), ("method", "GET"), ("route", "/metrics")): 1,
    }
    named = {name for name, _ in found}
    for metric in ALL:
        if metric.name in named:
            assert {tuple(k for k, _ in labels) for n, labels in found if n == metric.name} == {
                tuple(sorted(metric.labels))
            }


async def test_metrics_take_a_key_of_their_own_or_none_where_they_are_open(tmp_path: Path) -> None:
    given = Given(tmp_path)
    opened = replace(given.settings, metrics_open=True)
    closed_site, open_site = (Site(one, {0}, active()) for one in (given.settings, opened))
    async with serving(closed_site, open_site) as session:
        url = f"{closed_site.context.address}/metrics"
        for headers, expected in (
            ({}, 401),
            (given.header(Scope.READ), 403),
            (given.header(Scope.METRICS), 200),
            (given.header(Scope.ADMIN), 200),
        ):
            async with session.get(url, headers=headers) as answer:
                assert answer.status == expected, headers
        # its key opens nothing else
        status = f"{closed_site.context.address}/status"
        async with session.get(status, headers=given.header(Scope.METRICS)) as answer:
            assert answer.status == 403
        assert await scraped(session, open_site)
        async with session.get(f"{open_site.context.address}/status") as answer:
            assert answer.status == 401


async def test_without_keys_only_this_machine_is_served(tmp_path: Path) -> None:
    site = Site(settings(tmp_path, metrics_open=True), {0}, active())
    async with serving(site) as session:
        for headers in ({"Host": "example.com"}, {"X-Forwarded-For": "192.0.2.1"}):
            async with session.get(f"{site.context.address}/metrics", headers=headers) as answer:
                assert answer.status == 403


async def test_a_scrape_costs_the_same_with_many_sources(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the event loop nothing may grow with the number of sources."""

    def iterated(_: StateView) -> Iterator[SourceState]:
        raise AssertionError("all sources are looked at")

    monkeypatch.setattr(StateView, "__iter__", iterated)
    spent: dict[int, float] = {}
    samples: dict[int, set[str]] = {}
    for number in (10, 10_000):
        view = StateView()
        view.caught_up.set()
        for n in range(number):
            state = list(State)[n % len(State)]
            record = SourceState(f"campaign:{n}", state, 1)
            view.apply(record.source.encode(), codec.encode("state", record.to_record()), n)
        site = Site(alone, set(range(SHARDS)))
        site.context.states = view
        took = []
        for _ in range(10):
            began = time.thread_time()
            text, _ = encode(Families.of(worker_metrics(site.context), site.context.meters), "")
            took.append(time.thread_time() - began)
        await site.context.largest.close()
        spent[number] = min(took)
        samples[number] = set(re.findall(r"^emberline_\S+", text.decode(), re.MULTILINE))
    assert samples[10] == samples[10_000]
    assert spent[10_000] < 0.020


async def test_the_largest_sources_are_those_with_the_most_bytes(alone: Settings) -> None:
    site = Site(alone, {0, 1})
    for n in range(5):
        site.shards[0].held[f"campaign:{n}"] = SourceSize(rows=n, bytes=10 * n, segments=1)
        site.shards[1].held[f"campaign:{n}"] = SourceSize(rows=1, bytes=1, segments=1)
    for shard in site.shards.values():
        shard.versions.clear()
    clock = ManualClock()
    shards = site.shards.values()
    largest = LargestSources(clock, 2, lambda: [one.outline for one in shards])
    assert largest.found() == []  # nobody waits for it
    assert largest._looking is not None
    await largest._looking
    assert largest.found() == [("campaign:4", 5, 41), ("campaign:3", 4, 31)]
    site.shards[0].held["campaign:0"] = SourceSize(rows=9, bytes=99, segments=1)
    clock.advance(int(EVERY_S * 1000))
    largest.found()
    await largest._looking
    assert [one for one, _, _ in largest.found()] == ["campaign:0", "campaign:4"]
    none = LargestSources(clock, 0, lambda: [one.outline for one in shards])
    assert none.found() == []
    assert none._looking is None

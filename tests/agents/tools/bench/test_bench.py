"""The benchmarks themselves, at a size too small to measure speed."""

import pytest

from agents.tools.bench.events import EventsOptions as Events
from agents.tools.bench.events import events
from agents.tools.bench.field import Ground
from agents.tools.bench.figures import BenchReport
from agents.tools.bench.ingest import IngestOptions as Ingest
from agents.tools.bench.ingest import ingest
from agents.tools.bench.latency import LatencyOptions as Latency
from agents.tools.bench.latency import latency
from agents.tools.bench.lifecycle import LifecycleOptions as Lifecycle
from agents.tools.bench.lifecycle import lifecycle
from agents.tools.bench.metered import metered_ingest
from agents.tools.bench.page import PageOptions as Page
from agents.tools.bench.page import page
from agents.tools.bench.recovery import RecoveryOptions as Recovery
from agents.tools.bench.recovery import recovery

pytestmark = [pytest.mark.connected, pytest.mark.slow]


def quiet(sentence: str) -> None:
    """Ignores progress messages."""


def names(report: BenchReport) -> set[str]:
    """What has a figure, each of which must be above nothing."""
    found = report.as_json()
    assert report.table()
    for result in found["results"].values():
        assert (result.get("events_per_s") or result["seconds"])["min"] > 0
        assert result["rss_mb"] > 0
    return set(found["results"])


async def test_ingest_agrees_with_the_oracle_and_has_its_ratios(broker: str) -> None:
    options = Ingest(6_000, sources=8, many_sources=300, runs=1, erased=100, peers=False)
    report = await ingest(Ground(broker), options, quiet)
    workers = {"worker", "worker_300", "worker_one_erased", "worker_erased"}
    assert names(report) == workers | {"bare_consume"}
    assert report.agree == dict.fromkeys(workers, True)
    assert report.ratios.keys() == {"bare_consume", "sources_300", "erased_100"}


async def test_metrics_are_measured_beside_a_worker_that_counts_nothing(broker: str) -> None:
    report = await metered_ingest(Ground(broker), Ingest(6_000, sources=8, runs=1), quiet)
    assert names(report) == {"worker", "worker_unmetered"}
    assert report.agree == dict.fromkeys(names(report), True)
    assert report.ratios["metered"] > 0


async def test_lifecycle_measures_both_sizes_and_the_archive(broker: str) -> None:
    options = Lifecycle(interactions=30_000, small=2_000, beside_rate=1_000, runs=1)
    report = await lifecycle(Ground(broker), options, quiet)
    assert {"expire_30000", "restore_30000", "expire_2000", "restore_2000"} <= names(report)
    assert 0 < report.ratios["archive_bytes"] < 1


async def test_latency_measures_marked_events(broker: str) -> None:
    report = await latency(Ground(broker), Latency(rate=1_000, seconds=3, runs=1), quiet)
    assert names(report) == {"p99_produce_to_readable"}


async def test_recovery_measures_cold_disks_and_a_restart(broker: str) -> None:
    report = await recovery(Ground(broker), Recovery(interactions=30_000, runs=1), quiet)
    assert names(report) == {"shard", "worker", "restart"}


async def test_events_measures_ingest_beside_listeners_and_the_age_of_what_they_see(
    broker: str,
) -> None:
    options = Events(events=4_000, sources=8, listeners=20, sample=5, seconds=3)
    report = await events(Ground(broker), options, quiet)
    assert names(report) == {"ingest_alone", "ingest_with_listeners", "oldest_state_seen"}
    assert report.ratios["ingest_with_listeners"] > 0
    seen = report.results["oldest_state_seen"].facts()
    assert seen["lost"] == 0
    assert 0 < seen["p99_s"] <= report.results["oldest_state_seen"].samples[0].seconds


async def test_page_measures_ingest_beside_open_pages_and_says_which_limits_were_kept(
    broker: str,
) -> None:
    options = Page(events=4_000, sources=8, pages=10, every=1, seconds=3)
    report = await page(Ground(broker), options, quiet)
    assert names(report) == {"ingest_alone", "ingest_with_pages", "list_p95"}
    found = report.results["list_p95"].facts()
    assert (found["lost"], found["failed"]) == (0, 0)
    assert found["lists"] > 10
    assert report.kept["no stream lost, no read refused"]
    assert len(report.kept) == 3

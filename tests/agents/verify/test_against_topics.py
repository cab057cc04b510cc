"""Rows that events make are held, and no others: worked out from events that topics still have."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agents.verify.finding import Finding
from agents.verify.kinds import FindingKind as Kind
from agents.verify.report import VerifyReport
from agents.verify.verify import VerifyOptions
from schemas.records import codec
from schemas.segment.codec import decode, encode
from schemas.segment.index import build
from schemas.tables import delta
from schemas.tables.interaction import SCHEMA
from streams.state import keys
from tests.rigs.upgrade.deployment import EXPIRED
from tests.rigs.verified import Deployment, recorded

HOT = "campaign:a"


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return recorded(tmp_path)


def verified(deployment: Deployment) -> VerifyReport:
    return deployment.verified(options=VerifyOptions(against_topics=True))


def rewritten(deployment: Deployment, change: pl.Expr | None, keep: pl.Expr | None = None) -> str:
    """A hot segment with other rows, whose index says so: no other check can find it."""
    shard, segment = deployment.hot_segment(HOT)
    value = deployment.partition("changelog", shard).last(keys.segment(segment)).value
    rows = decode(value or b"")
    rows = rows if keep is None else rows.filter(keep)
    rows = rows if change is None else rows.with_columns(change)
    data = encode(rows)
    deployment.put(shard, keys.index(segment), build(segment, 0, rows, data).to_json())
    deployment.put(shard, keys.segment(segment), data)
    return segment


def only(report: VerifyReport, kind: Kind) -> Finding:
    assert set(report.counts) == {kind}, report.findings
    return report.findings[0]


def test_every_row_of_a_whole_deployment_is_made_by_its_events(deployment: Deployment) -> None:
    report = verified(deployment)
    assert (report.findings, report.unchecked) == ([], [])
    assert report.figures["events_read"] > 300
    assert report.figures["rows_compared"] > 100


def test_a_row_that_is_gone_is_named(deployment: Deployment) -> None:
    rewritten(deployment, None, pl.int_range(pl.len()) > 0)
    finding = only(verified(deployment), Kind.ROW_MISSING)
    assert finding.where.source == HOT
    assert "user " in (finding.where.key or "")


def test_a_row_with_other_times_is_named(deployment: Deployment) -> None:
    rewritten(deployment, pl.col("last") + 1)
    assert only(verified(deployment), Kind.ROW_OTHER).where.source == HOT


def test_a_row_that_no_event_makes_is_named(deployment: Deployment) -> None:
    row: dict[str, Any] = {"source": "campaign:x", "user": "nobody", "kind": "received"}
    frame = pl.DataFrame([{**row, "first": 1, "last": 1}], schema=SCHEMA)
    deployment.put(0, keys.delta(999, 0), delta.encode(frame))
    assert only(verified(deployment), Kind.ROW_EXTRA).where.source == "campaign:x"


def test_events_that_are_deleted_prove_nothing_about_rows_that_are_held(
    deployment: Deployment,
) -> None:
    kept = deployment.partition("interactions.send", 0)
    kept.start = 40
    kept.records = {at: record for at, record in kept.records.items() if at >= 40}
    report = verified(deployment)
    assert report.findings == []
    assert "deleted from their topics" in report.unchecked[0]


def test_rows_of_the_archive_count_as_held(deployment: Deployment) -> None:
    shard, segment, _ = deployment.shard_of(EXPIRED)
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), None)
    report = verified(deployment)
    rows = [one for one in report.findings if one.kind is Kind.ROW_MISSING]
    assert rows
    assert {one.where.source for one in rows} == {EXPIRED}


def test_an_event_that_waits_in_repartition_makes_no_row_yet(deployment: Deployment) -> None:
    """It is forwarded, and the shard of its user has not read it."""
    topic = deployment.topics.event("send")
    event = {
        "id": "new", "user_id": "u0", "time": 1_700_000_000_000, "campaign_id": "late"
    }  # fmt: skip
    value = codec.encode("send", event)
    offset = deployment.log[topic, 1].append(b"u0", value, transactional=False)
    changelog = deployment.partition("changelog", 1)
    cursor = changelog.last(keys.CURSOR).value or b""
    moved = cursor.replace(f'"{topic}": 0'.encode(), f'"{topic}": 1'.encode())
    assert moved != cursor
    deployment.put(1, keys.CURSOR, moved)
    assert only(verified(deployment), Kind.ROW_MISSING).where.source == "campaign:late"

    headers = [
        ("topic", topic.encode()), ("partition", b"1"), ("offset", b"%d" % offset), ("stamp", b"5")
    ]  # fmt: skip
    for number in (0, 2, 3):
        deployment.partition("repartition", number).append(b"u0", value, headers)
    assert verified(deployment).findings == []


def test_events_that_no_worker_has_read_make_no_row_yet(deployment: Deployment) -> None:
    event = {"id": "new", "user_id": "u0", "time": 1_700_000_000_000, "campaign_id": "late"}
    for number in range(4):
        kept = deployment.partition("interactions.send", number)
        kept.append(b"u0", codec.encode("send", event), transactional=False)
    assert verified(deployment).findings == []

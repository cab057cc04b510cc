"""The archive and the manifest: every kind of damage is found, and its record is named.

Each case damages the recorded deployment in one place. The report must have that kind of finding,
name the record, and have no other kind, except those that the same damage explains (`also`).
"""

import json
from typing import Any

import pytest

from agents.verify.kinds import FindingKind as Kind
from agents.verify.verify import VerifyOptions
from schemas.decode.batch_records import KafkaRecord
from streams.state import keys
from streams.state.erasures import ErasureMarks
from tests.rigs.upgrade.deployment import EXPIRED, RESTORED
from tests.rigs.verified import Case, Deployment, check, deployment, names

__all__ = ["deployment"]


def test_a_whole_deployment_has_no_finding(deployment: Deployment) -> None:
    report = deployment.verified()
    assert report.findings == []
    assert report.whole
    assert report.unchecked == []
    assert report.figures["archived_segments"] == report.figures["manifest_entries"] == 4


def _headers(record: KafkaRecord, **changed: bytes) -> list[tuple[str, bytes | None]]:
    return [(name, changed.get(name, value)) for name, value in record.headers]


def archive_record_gone(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    del deployment.partition("archive", shard).records[offset]
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_truncated(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    archive.start = archive.end
    archive.records.clear()
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_made_anew(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    archive.start = archive.end = 0
    archive.records.clear()
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_bytes_flipped(deployment: Deployment) -> dict[str, Any]:
    """As by a disk: the batch does not match its checksum."""
    shard, segment, offset = deployment.shard_of(EXPIRED)
    deployment.partition("archive", shard).broken.add(offset)
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_value_changed(deployment: Deployment) -> dict[str, Any]:
    """As by a backup that was restored wrongly: the batch is valid and the segment is not."""
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    value = bytearray(archive.records[offset].value or b"")
    value[len(value) // 2] ^= 1
    archive.change(offset, value=bytes(value))
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_records_swapped(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    other = next(at for at in archive.records if at != offset)
    one, two = archive.records[offset], archive.records[other]
    archive.records[offset] = two._replace(offset=offset)
    archive.records[other] = one._replace(offset=other)
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_rows_header_wrong(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    record = archive.records[offset]
    archive.change(offset, headers=_headers(record, rows=b"999"))
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_of_other_partitions(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    archive.change(offset, headers=_headers(archive.records[offset], partitions=b"5"))
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def archive_of_other_shard(deployment: Deployment) -> dict[str, Any]:
    """A record that a tool has written to the wrong partition."""
    shard, segment, offset = deployment.shard_of(EXPIRED)
    record = deployment.partition("archive", shard).records[offset]
    other = deployment.partition("archive", (shard + 1) % 4)
    other.append(record.key, record.value, record.headers)
    return {"partition": (shard + 1) % 4, "offset": 0, "source": EXPIRED, "segment": segment}


def archive_foreign(deployment: Deployment) -> dict[str, Any]:
    offset = deployment.partition("archive", 1).append(b"who", b"what", transactional=False)
    return {"partition": 1, "offset": offset}


def manifest_entry_gone(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), None)
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def manifest_rows_wrong(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    entry = deployment.entry(shard, EXPIRED, segment)
    value = json.dumps(entry | {"rows": entry["rows"] + 1}).encode()
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), value)
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def manifest_checksum_wrong(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    entry = deployment.entry(shard, EXPIRED, segment)
    value = json.dumps(entry | {"checksum": "0" * 32}).encode()
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), value)
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


TOTALS = frozenset({Kind.EXPIRED_TOTALS, Kind.STATE_TOTALS})
CASES = [
    Case(archive_record_gone, Kind.ARCHIVE_MISSING),
    Case(archive_truncated, Kind.ARCHIVE_MISSING),
    Case(archive_made_anew, Kind.ARCHIVE_MISSING),
    Case(archive_bytes_flipped, Kind.ARCHIVE_DAMAGED, frozenset({Kind.BATCH_BROKEN})),
    Case(archive_value_changed, Kind.ARCHIVE_DAMAGED),
    Case(archive_records_swapped, Kind.ARCHIVE_OTHER),
    Case(archive_rows_header_wrong, Kind.ARCHIVE_ROWS, frozenset({Kind.ARCHIVE_OTHER})),
    Case(archive_of_other_partitions, Kind.ARCHIVE_ROWS),
    Case(archive_of_other_shard, Kind.ARCHIVE_UNLISTED, frozenset({Kind.ARCHIVE_ROWS})),
    Case(archive_foreign, Kind.ARCHIVE_FOREIGN),
    Case(manifest_entry_gone, Kind.ARCHIVE_UNLISTED, TOTALS),
    Case(manifest_rows_wrong, Kind.ARCHIVE_OTHER, TOTALS),
    Case(manifest_checksum_wrong, Kind.ARCHIVE_OTHER, TOTALS),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.plant.__name__)
def test_damage_is_found_and_named(deployment: Deployment, case: Case) -> None:
    check(deployment, case)


def test_rows_that_came_back_are_compared_too(deployment: Deployment) -> None:
    shard, segment, offset = deployment.shard_of(RESTORED)
    del deployment.partition("archive", shard).records[offset]
    (finding,) = deployment.verified().findings
    assert names(finding, {"partition": shard, "offset": offset, "segment": segment})
    assert "Its rows are hot: the next expiry" in finding.remedy


def test_former_copies_need_no_manifest_entry(deployment: Deployment) -> None:
    """A segment that was moved to the archive's end, and one whose users were all erased."""
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    record = archive.records[offset]
    at = archive.append(record.key, record.value, record.headers)
    entry = deployment.entry(shard, EXPIRED, segment) | {"offset": at, "masked": 1}
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), json.dumps(entry).encode())
    lost, gone, below = deployment.shard_of(RESTORED)
    deployment.put(lost, keys.manifest_entry(RESTORED, gone), None)
    for key in (keys.index(gone), keys.segment(gone)):
        deployment.put(lost, key, None)
    deployment.put(lost, *ErasureMarks("0" * 16, 1, hot=1, dead=below + 1).put())
    report = deployment.verified()
    assert report.findings == []
    assert report.figures["dead_copies"] == 2
    assert report.figures["dead_bytes"] > 0
    # what lay at the former end was a marker, and no record
    assert report.figures["aborted_records"] == 0


def test_records_of_aborted_steps_are_counted(deployment: Deployment) -> None:
    shard, _, _ = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    archive.end += 5
    archive.append(b"who", b"what", transactional=False)
    assert deployment.verified().figures["aborted_records"] == 5


def test_a_record_that_another_replaces_needs_no_manifest_entry(deployment: Deployment) -> None:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    record = archive.records[offset]
    new = "f" * 24
    index = json.loads(dict(record.headers)["index"] or b"") | {"id": new}
    changed = {
        "segment": new.encode(), "replaces": segment.encode(), "index": json.dumps(index).encode()
    }  # fmt: skip
    at = archive.append(record.key, record.value, _headers(record, **changed))
    entry = deployment.entry(shard, EXPIRED, segment)
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), None)
    value = json.dumps(entry | {"offset": at}).encode()
    deployment.put(shard, keys.manifest_entry(EXPIRED, new), value)
    assert Kind.ARCHIVE_UNLISTED not in deployment.verified().counts


def test_a_drill_restores_expired_sources_into_scratch(deployment: Deployment) -> None:
    report = deployment.verified(options=VerifyOptions(drill=5))
    assert report.findings == []
    assert report.figures["drilled_sources"] == 1
    assert report.figures["drilled_rows"] > 0
    shard, _, offset = deployment.shard_of(EXPIRED)
    del deployment.partition("archive", shard).records[offset]
    failed = deployment.verified(options=VerifyOptions(drill=5))
    assert failed.counts[Kind.DRILL_FAILED] == 1

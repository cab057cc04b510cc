"""Every kind of damage is found, and its record is named; a whole deployment has no finding.

Each case damages the recorded deployment in one place. The report must have that kind of finding,
name the record, and have no other kind, except those that the same damage explains (`also`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.verify.kinds import FindingKind as Kind
from agents.verify.verify import VerifyOptions
from schemas.decode.batch_records import KafkaRecord
from schemas.records import codec
from schemas.records.lifecycle import State
from streams.state import keys, pieces
from streams.state.erasures import ErasureMarks
from streams.state.hot_table import Applied
from streams.state.state_store import StateStore, shared_cache
from tests.rigs.upgrade.deployment import EXPIRED, FIXTURE, RESTORED
from tests.rigs.upgrade.replay import unpack_stores
from tests.rigs.verified import Deployment, Plant, names, recorded

HOT = "campaign:a"


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return recorded(tmp_path)


def test_a_whole_deployment_has_no_finding(deployment: Deployment) -> None:
    report = deployment.verified()
    assert report.findings == []
    assert report.whole
    assert report.unchecked == []
    assert report.figures["archived_segments"] == report.figures["manifest_entries"] == 4


def _headers(record: KafkaRecord, **changed: bytes) -> list[tuple[str, bytes | None]]:
    return [(name, changed.get(name, value)) for name, value in record.headers]


def _entry(deployment: Deployment, shard: int, source: str, segment: str) -> dict[str, Any]:
    key = keys.manifest_entry(source, segment)
    value = deployment.partition("changelog", shard).last(key).value
    found: dict[str, Any] = json.loads(value or b"")
    return found


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
    entry = _entry(deployment, shard, EXPIRED, segment)
    value = json.dumps(entry | {"rows": entry["rows"] + 1}).encode()
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), value)
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def manifest_checksum_wrong(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    entry = _entry(deployment, shard, EXPIRED, segment)
    value = json.dumps(entry | {"checksum": "0" * 32}).encode()
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), value)
    return {"partition": shard, "offset": offset, "source": EXPIRED, "segment": segment}


def _hot(deployment: Deployment, source: str = HOT) -> tuple[int, str, dict[str, Any]]:
    shard, segment = deployment.hot_segment(source)
    parts = {"partition": shard, "segment": segment, "source": source}
    return shard, segment, parts


def _index(deployment: Deployment, shard: int, segment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        deployment.partition("changelog", shard).last(keys.index(segment)).value or b""
    )
    return found


def delta_unreadable(deployment: Deployment) -> dict[str, Any]:
    key = keys.delta(999, 0)
    offset = deployment.put(2, key, b"junk")
    return {"partition": 2, "offset": offset, "key": key.decode()}


def run_unreadable(deployment: Deployment) -> dict[str, Any]:
    key = keys.run(b"a", 0, "f" * 24, 0)
    offset = deployment.put(0, key, b"PAR1junk")
    return {"partition": 0, "offset": offset, "key": key.decode()}


def manifest_entry_unreadable(deployment: Deployment) -> dict[str, Any]:
    shard, segment, _ = deployment.shard_of(EXPIRED)
    key = keys.manifest_entry(EXPIRED, segment)
    offset = deployment.put(shard, key, b"[]")
    return {"partition": shard, "offset": offset, "key": key.decode()}


def changelog_batch_broken(deployment: Deployment) -> dict[str, Any]:
    """The batch of the cursor: nothing else is lost with it."""
    offset = deployment.put(3, keys.CURSOR, b"{}")
    deployment.partition("changelog", 3).broken.add(offset)
    return {"partition": 3, "offset": offset}


def origin_gone(deployment: Deployment) -> dict[str, Any]:
    deployment.put(1, keys.ORIGIN, None)
    return {"partition": 1, "key": "o"}


def origin_of_other_partitions(deployment: Deployment) -> dict[str, Any]:
    origin = json.loads(deployment.partition("changelog", 1).last(keys.ORIGIN).value or b"")
    deployment.put(1, keys.ORIGIN, json.dumps(origin | {"partitions": 8}).encode())
    return {"partition": 1, "key": "o"}


def hot_index_gone(deployment: Deployment) -> dict[str, Any]:
    shard, segment, _ = _hot(deployment)
    deployment.put(shard, keys.index(segment), None)
    return {"partition": shard, "segment": segment}


def hot_bytes_gone(deployment: Deployment) -> dict[str, Any]:
    shard, segment, parts = _hot(deployment)
    deployment.put(shard, keys.segment(segment), None)
    return parts


def hot_bytes_changed(deployment: Deployment) -> dict[str, Any]:
    shard, segment, parts = _hot(deployment)
    key = keys.segment(segment)
    value = bytearray(deployment.partition("changelog", shard).last(key).value or b"")
    value[len(value) // 2] ^= 1
    return parts | {"offset": deployment.put(shard, key, bytes(value))}


def hot_index_wrong(deployment: Deployment) -> dict[str, Any]:
    shard, segment, parts = _hot(deployment)
    index = _index(deployment, shard, segment)
    value = json.dumps(index | {"rows": index["rows"] + 1}).encode()
    deployment.put(shard, keys.index(segment), value)
    return parts


def hot_segment_of_other_shard(deployment: Deployment) -> dict[str, Any]:
    """A segment of one shard, written to the changelog of another by a tool."""
    shard, segment, parts = _hot(deployment)
    for key in (keys.index(segment), keys.segment(segment)):
        deployment.put(1, key, deployment.partition("changelog", shard).last(key).value)
    return parts | {"partition": 1}


def numbers_of_users_incomplete(deployment: Deployment) -> dict[str, Any]:
    shard, _, _ = deployment.shard_of(EXPIRED)
    key = keys.uniques(EXPIRED)
    value = deployment.partition("changelog", shard).last(key).value or b""
    offset = deployment.put(shard, key, pieces.headed(value, 3))
    return {"partition": shard, "offset": offset, "source": EXPIRED}


def events_deleted_unread(deployment: Deployment) -> dict[str, Any]:
    kept = deployment.partition("interactions.send", 2)
    cursor = kept.end
    kept.start = kept.end = cursor + 9
    kept.records.clear()
    return {"topic": deployment.topics.event("send"), "partition": 2, "offset": cursor}


def events_made_anew(deployment: Deployment) -> dict[str, Any]:
    kept = deployment.partition("interactions.send", 2)
    cursor, kept.end = kept.end, 1
    kept.records = {0: kept.records[0]}
    return {"topic": deployment.topics.event("send"), "partition": 2, "offset": cursor}


def hot_other_than_archived(deployment: Deployment) -> dict[str, Any]:
    shard, segment, _ = deployment.shard_of(RESTORED)
    index = _index(deployment, shard, segment)
    deployment.put(shard, keys.index(segment), json.dumps(index | {"bytes": 1}).encode())
    return {"partition": shard, "source": RESTORED, "segment": segment}


def expired_segment_still_hot(deployment: Deployment) -> dict[str, Any]:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    record = deployment.partition("archive", shard).records[offset]
    deployment.put(shard, keys.index(segment), dict(record.headers)["index"])
    deployment.put(shard, keys.segment(segment), record.value)
    return {"partition": shard, "source": EXPIRED, "segment": segment}


def restored_segment_not_hot(deployment: Deployment) -> dict[str, Any]:
    shard, segment, _ = deployment.shard_of(RESTORED)
    for key in (keys.index(segment), keys.segment(segment)):
        deployment.put(shard, key, None)
    return {"partition": shard, "source": RESTORED, "segment": segment}


def lifecycle_unreadable(deployment: Deployment) -> dict[str, Any]:
    offset = deployment.partition("lifecycle.state").append(EXPIRED.encode(), b"junk")
    return {"offset": offset, "source": EXPIRED}


def lifecycle_tombstone(deployment: Deployment) -> dict[str, Any]:
    offset = deployment.partition("lifecycle.state").append(EXPIRED.encode(), None)
    return {"offset": offset, "source": EXPIRED}


def lifecycle_record_gone(deployment: Deployment) -> dict[str, Any]:
    states = deployment.partition("lifecycle.state")
    states.records = {at: r for at, r in states.records.items() if r.key != EXPIRED.encode()}
    return {"topic": deployment.topics.changelog, "source": EXPIRED}


def lifecycle_rolled_back(deployment: Deployment) -> dict[str, Any]:
    """As by a backup of lifecycle.state that is older than the changelogs."""
    states = deployment.partition("lifecycle.state")
    first = next(at for at, r in states.records.items() if r.key == EXPIRED.encode())
    states.records = {
        at: r for at, r in states.records.items() if r.key != EXPIRED.encode() or at == first
    }
    return {"topic": deployment.topics.changelog, "source": EXPIRED}


def shard_has_not_expired(deployment: Deployment) -> dict[str, Any]:
    done = json.loads(deployment.partition("changelog", 3).last(keys.applied(EXPIRED)).value or b"")
    value = Applied(done["version"], State.RESTORING).to_json()
    offset = deployment.put(3, keys.applied(EXPIRED), value)
    return {"partition": 3, "offset": offset, "source": EXPIRED}


def shard_has_not_restored(deployment: Deployment) -> dict[str, Any]:
    value = Applied(1, State.EXPIRING).to_json()
    offset = deployment.put(3, keys.applied(RESTORED), value)
    return {"partition": 3, "offset": offset, "source": RESTORED}


def coordinator_unreadable(deployment: Deployment) -> dict[str, Any]:
    key = f"s/{EXPIRED}"
    offset = deployment.partition("coordinator").append(key.encode(), b"junk")
    return {"offset": offset, "key": key}


def coordinator_rolled_back(deployment: Deployment) -> dict[str, Any]:
    kept = deployment.partition("coordinator")
    key = f"s/{EXPIRED}".encode()
    first = next(at for at, record in kept.records.items() if record.key == key)
    kept.records = {at: r for at, r in kept.records.items() if r.key != key or at == first}
    return {"topic": deployment.topics.coordinator, "source": EXPIRED, "offset": first}


def coordinator_record_gone(deployment: Deployment) -> dict[str, Any]:
    kept = deployment.partition("coordinator")
    key = f"s/{EXPIRED}".encode()
    kept.records = {at: r for at, r in kept.records.items() if r.key != key}
    return {"topic": deployment.topics.coordinator, "source": EXPIRED}


def _changed_event(deployment: Deployment, topic: str, name: str, **fields: Any) -> dict[str, Any]:
    kept = deployment.partition(topic)
    offset, record = max(kept.records.items())
    event = codec.decode(record.value or b"", name)
    kept.change(offset, value=codec.encode(name, event | fields))
    return {"offset": offset, "source": event["source"]}


def expired_event_wrong(deployment: Deployment) -> dict[str, Any]:
    return _changed_event(deployment, "lifecycle.expired", "expired", interactions=1)


def expired_checksum_wrong(deployment: Deployment) -> dict[str, Any]:
    return _changed_event(deployment, "lifecycle.expired", "expired", checksum="0" * 31 + "1")


def restored_event_wrong(deployment: Deployment) -> dict[str, Any]:
    return _changed_event(deployment, "lifecycle.restored", "restored", bytes=7)


def state_totals_wrong(deployment: Deployment) -> dict[str, Any]:
    states = deployment.partition("lifecycle.state")
    record = codec.decode(states.last(EXPIRED.encode()).value or b"", "state")
    value = codec.encode("state", record | {"segments": 9})
    return {"offset": states.append(EXPIRED.encode(), value), "source": EXPIRED}


def expired_event_gone(deployment: Deployment) -> dict[str, Any]:
    kept = deployment.partition("lifecycle.expired")
    offset = next(at for at, r in kept.records.items() if r.key == EXPIRED.encode())
    del kept.records[offset]
    return {"topic": deployment.topics.expired, "source": EXPIRED}


def event_unreadable(deployment: Deployment) -> dict[str, Any]:
    offset = deployment.partition("lifecycle.expired").append(b"campaign:z", b"{]")
    return {"topic": deployment.topics.expired, "offset": offset}


def archive_retention_finite(deployment: Deployment) -> dict[str, Any]:
    deployment.log.other_configs[deployment.topics.archive] = {"retention.ms": "604800000"}
    return {"topic": deployment.topics.archive, "key": "retention.ms"}


def changelog_not_compacted(deployment: Deployment) -> dict[str, Any]:
    deployment.log.other_configs[deployment.topics.changelog] = {"cleanup.policy": "delete"}
    return {"topic": deployment.topics.changelog, "key": "cleanup.policy"}


def topic_gone(deployment: Deployment) -> dict[str, Any]:
    for partition in [
        one for one in deployment.log.partitions if one[0] == deployment.topics.users
    ]:
        del deployment.log.partitions[partition]
    return {"topic": deployment.topics.users}


def _store(deployment: Deployment, shard: int) -> tuple[Path, StateStore]:
    """A local store of the deployment, to be changed behind its worker's back."""
    unpack_stores(FIXTURE, deployment.settings)
    folder = deployment.settings.data_dir / f"shard-{shard}"
    return folder, StateStore(folder, shared_cache(1 << 20))


def store_value_changed(deployment: Deployment) -> dict[str, Any]:
    shard, segment, _ = _hot(deployment)
    _, store = _store(deployment, shard)
    value = bytearray(store.get(keys.segment(segment)) or b"")
    value[0] ^= 1
    store.apply([(keys.segment(segment), bytes(value))], None)
    store.close(flush=True)
    return {"partition": shard, "key": keys.segment(segment).decode()}


def store_key_lost(deployment: Deployment) -> dict[str, Any]:
    shard, segment, _ = _hot(deployment)
    _, store = _store(deployment, shard)
    store.apply([(keys.index(segment), None)], None)
    store.close(flush=True)
    return {"partition": shard, "key": keys.index(segment).decode()}


def store_key_invented(deployment: Deployment) -> dict[str, Any]:
    _, store = _store(deployment, 3)
    store.apply([(keys.applied("campaign:z"), b"{}")], None)
    store.close(flush=True)
    return {"partition": 3, "key": "v/campaign:z"}


def store_ahead(deployment: Deployment) -> dict[str, Any]:
    _, store = _store(deployment, 3)
    store.apply([], 10_000, store.stamp_ms())
    store.close(flush=True)
    return {"partition": 3, "offset": 10_000}


def store_file_damaged(deployment: Deployment) -> dict[str, Any]:
    folder, store = _store(deployment, 2)
    store.close(flush=True)
    for blob in folder.glob("*.blob"):
        raw = bytearray(blob.read_bytes())
        raw[len(raw) // 2] ^= 1
        blob.write_bytes(bytes(raw))
    return {"topic": deployment.topics.changelog, "partition": 2}


@dataclass(frozen=True)
class Case:
    plant: Plant
    kind: Kind
    also: frozenset[Kind] = frozenset()


TOTALS = frozenset({Kind.EXPIRED_TOTALS, Kind.STATE_TOTALS})
LISTED = TOTALS | {Kind.ARCHIVE_UNLISTED}
COORDINATED = frozenset({Kind.COORDINATOR_OTHER})
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
    Case(delta_unreadable, Kind.ENTRY_UNREADABLE),
    Case(run_unreadable, Kind.ENTRY_UNREADABLE),
    Case(manifest_entry_unreadable, Kind.ENTRY_UNREADABLE, LISTED),
    Case(changelog_batch_broken, Kind.BATCH_BROKEN),
    Case(origin_gone, Kind.ORIGIN_WRONG),
    Case(origin_of_other_partitions, Kind.ORIGIN_WRONG),
    Case(hot_index_gone, Kind.HOT_INCOMPLETE),
    Case(hot_bytes_gone, Kind.HOT_INCOMPLETE),
    Case(hot_bytes_changed, Kind.HOT_DAMAGED),
    Case(hot_index_wrong, Kind.HOT_ROWS),
    Case(hot_segment_of_other_shard, Kind.HOT_ROWS),
    Case(numbers_of_users_incomplete, Kind.COUNTS_INCOMPLETE),
    Case(events_deleted_unread, Kind.INPUT_LOST),
    Case(events_made_anew, Kind.INPUT_ANEW),
    Case(hot_other_than_archived, Kind.HOT_OTHER, frozenset({Kind.HOT_ROWS})),
    Case(expired_segment_still_hot, Kind.HOT_NOT_DROPPED),
    Case(restored_segment_not_hot, Kind.RESTORED_MISSING),
    Case(lifecycle_unreadable, Kind.LIFECYCLE_UNREADABLE),
    Case(lifecycle_tombstone, Kind.LIFECYCLE_UNREADABLE),
    Case(lifecycle_record_gone, Kind.LIFECYCLE_MISSING, COORDINATED),
    Case(lifecycle_rolled_back, Kind.LIFECYCLE_BEHIND, COORDINATED | {Kind.STATE_TOTALS}),
    Case(shard_has_not_expired, Kind.SHARD_BEHIND),
    Case(shard_has_not_restored, Kind.SHARD_BEHIND),
    Case(coordinator_unreadable, Kind.COORDINATOR_UNREADABLE),
    Case(coordinator_rolled_back, Kind.COORDINATOR_OTHER),
    Case(coordinator_record_gone, Kind.COORDINATOR_OTHER),
    Case(expired_event_wrong, Kind.EXPIRED_TOTALS),
    Case(expired_checksum_wrong, Kind.EXPIRED_TOTALS),
    Case(restored_event_wrong, Kind.RESTORED_TOTALS),
    Case(state_totals_wrong, Kind.STATE_TOTALS),
    Case(expired_event_gone, Kind.EVENT_MISSING),
    Case(event_unreadable, Kind.EVENT_UNREADABLE),
    Case(archive_retention_finite, Kind.TOPIC_SETTING),
    Case(changelog_not_compacted, Kind.TOPIC_SETTING),
    Case(topic_gone, Kind.TOPIC_MISSING),
    Case(store_value_changed, Kind.STORE_OTHER),
    Case(store_key_lost, Kind.STORE_OTHER),
    Case(store_key_invented, Kind.STORE_OTHER),
    Case(store_ahead, Kind.STORE_AHEAD),
    Case(store_file_damaged, Kind.STORE_DAMAGED),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.plant.__name__)
def test_damage_is_found_and_named(deployment: Deployment, case: Case) -> None:
    parts = case.plant(deployment)
    report = deployment.verified()
    found = [one for one in report.findings if one.kind is case.kind]
    assert any(names(one, parts) for one in found), (parts, report.findings)
    assert set(report.counts) <= {case.kind} | case.also, report.findings
    assert all(one.what and one.remedy for one in report.findings)
    assert not report.whole


def test_local_stores_are_compared_if_there_are_any(deployment: Deployment) -> None:
    assert deployment.verified().figures["local_stores"] == 0
    unpack_stores(FIXTURE, deployment.settings)
    report = deployment.verified()
    assert (report.findings, report.unchecked) == ([], [])
    assert report.figures["local_stores"] == 4


def test_a_store_of_another_changelog_is_not_compared(deployment: Deployment) -> None:
    unpack_stores(FIXTURE, deployment.settings)
    origin = json.loads(deployment.partition("changelog", 1).last(keys.ORIGIN).value or b"")
    value = json.dumps(origin | {"incarnation": "another"}).encode()
    deployment.put(1, keys.ORIGIN, value)
    report = deployment.verified()
    assert report.findings == []
    assert "shard-1: it belongs to another changelog" in report.unchecked[0]


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
    entry = _entry(deployment, shard, EXPIRED, segment) | {"offset": at, "masked": 1}
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
    entry = _entry(deployment, shard, EXPIRED, segment)
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

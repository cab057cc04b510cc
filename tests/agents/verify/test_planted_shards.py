"""What the shards have in their changelogs: every kind of damage is found, and its record is named.

Each case damages the recorded deployment in one place. The report must have that kind of finding,
name the record, and have no other kind, except those that the same damage explains (`also`).
"""

import json
from typing import Any

import pytest

from agents.verify.kinds import FindingKind as Kind
from streams.state import keys, pieces
from tests.rigs.upgrade.deployment import EXPIRED, RESTORED
from tests.rigs.verified import Case, Deployment, check, deployment

__all__ = ["deployment"]

HOT = "campaign:a"


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


TOTALS = frozenset({Kind.EXPIRED_TOTALS, Kind.STATE_TOTALS})
LISTED = TOTALS | {Kind.ARCHIVE_UNLISTED}
CASES = [
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
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.plant.__name__)
def test_damage_is_found_and_named(deployment: Deployment, case: Case) -> None:
    check(deployment, case)

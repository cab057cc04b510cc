"""Local stores: every kind of damage is found, and its record is named.

Each case damages the recorded deployment in one place. The report must have that kind of finding,
name the record, and have no other kind, except those that the same damage explains (`also`).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.verify.kinds import FindingKind as Kind
from streams.state import keys
from streams.state.state_store import StateStore, shared_cache
from tests.rigs.upgrade.deployment import FIXTURE
from tests.rigs.upgrade.replay import unpack_stores
from tests.rigs.verified import Case, Deployment, check, deployment

__all__ = ["deployment"]

HOT = "campaign:a"


def _hot(deployment: Deployment, source: str = HOT) -> tuple[int, str, dict[str, Any]]:
    shard, segment = deployment.hot_segment(source)
    parts = {"partition": shard, "segment": segment, "source": source}
    return shard, segment, parts


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


CASES = [
    Case(store_value_changed, Kind.STORE_OTHER),
    Case(store_key_lost, Kind.STORE_OTHER),
    Case(store_key_invented, Kind.STORE_OTHER),
    Case(store_ahead, Kind.STORE_AHEAD),
    Case(store_file_damaged, Kind.STORE_DAMAGED),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.plant.__name__)
def test_damage_is_found_and_named(deployment: Deployment, case: Case) -> None:
    check(deployment, case)


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

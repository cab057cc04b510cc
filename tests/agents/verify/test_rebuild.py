"""What `verify --rebuild` would write: the entries that the archive gives, and no other."""

import asyncio
import json
from pathlib import Path

import pytest

from agents.verify.rebuild import Mend, plan_rebuild
from streams.kafka.environment import Environment
from streams.state import keys
from streams.state.hot_table import ManifestEntry
from tests.rigs.upgrade.deployment import EXPIRED, RESTORED
from tests.rigs.verified import Deployment, recorded


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return recorded(tmp_path)


def plan(deployment: Deployment) -> list[Mend]:
    return asyncio.run(plan_rebuild(Environment(deployment.settings, deployment.log)))


def test_a_whole_manifest_needs_nothing(deployment: Deployment) -> None:
    assert plan(deployment) == []


def test_lost_and_wrong_entries_are_given_by_the_archive(deployment: Deployment) -> None:
    shard, segment, _ = deployment.shard_of(EXPIRED)
    key = keys.manifest_entry(EXPIRED, segment)
    lost = ManifestEntry(
        **json.loads(deployment.partition("changelog", shard).last(key).value or b"")
    )
    deployment.put(shard, key, None)
    other, moved, _ = deployment.shard_of(RESTORED)
    key = keys.manifest_entry(RESTORED, moved)
    right = json.loads(deployment.partition("changelog", other).last(key).value or b"")
    deployment.put(other, key, json.dumps(right | {"offset": 77}).encode())
    found = {(one.source, one.segment): one for one in plan(deployment)}
    assert found == {
        (EXPIRED, segment): Mend(shard, EXPIRED, segment, lost, None),
        (RESTORED, moved): Mend(
            other,
            RESTORED,
            moved,
            ManifestEntry(**right),
            ManifestEntry(**(right | {"offset": 77})),
        ),
    }


def test_a_damaged_record_gives_no_entry(deployment: Deployment) -> None:
    shard, segment, offset = deployment.shard_of(EXPIRED)
    deployment.put(shard, keys.manifest_entry(EXPIRED, segment), None)
    archive = deployment.partition("archive", shard)
    archive.change(offset, value=(archive.records[offset].value or b"")[:-1])
    assert plan(deployment) == []


def test_a_second_copy_of_a_record_changes_no_entry(deployment: Deployment) -> None:
    shard, _, offset = deployment.shard_of(EXPIRED)
    archive = deployment.partition("archive", shard)
    record = archive.records[offset]
    archive.append(record.key, record.value, record.headers)
    assert plan(deployment) == []

"""States, coordinator, events and topics: every kind of damage is found, and its record is named.

Each case damages the recorded deployment in one place. The report must have that kind of finding,
name the record, and have no other kind, except those that the same damage explains (`also`).
"""

import json
from typing import Any

import pytest

from agents.verify.kinds import FindingKind as Kind
from agents.verify.lifecycle_reader import read_coordinator
from schemas.records import codec
from schemas.records.lifecycle import State
from streams.kafka.environment import Environment
from streams.state import keys
from streams.state.hot_table import Applied
from tests.rigs.upgrade.deployment import EXPIRED, RESTORED
from tests.rigs.verified import Case, Deployment, check, deployment

__all__ = ["deployment"]


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


COORDINATED = frozenset({Kind.COORDINATOR_OTHER})
CASES = [
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
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.plant.__name__)
def test_damage_is_found_and_named(deployment: Deployment, case: Case) -> None:
    check(deployment, case)


def test_a_source_that_expires_between_the_shards_and_the_last_look_is_not_compared(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event was read, and its segments were counted, before it had any."""
    states = deployment.partition("lifecycle.state")
    record: dict[str, Any] = codec.decode(states.last(RESTORED.encode()).value or b"", "state")
    moved = {
        "state": "EXPIRED",
        "version": record["version"] + 2,
        "epoch": record["epoch"] + 1,
        "segments": record["segments"] + 4,
    }

    async def read_while_it_expires(environment: Environment) -> Any:
        kept = await read_coordinator(environment)
        states.append(RESTORED.encode(), codec.encode("state", record | moved))
        return kept

    monkeypatch.setattr("agents.verify.verify.read_coordinator", read_while_it_expires)
    assert deployment.verified().findings == []

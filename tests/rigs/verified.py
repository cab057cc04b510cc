"""The recorded deployment, damaged in memory and verified."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.verify.finding import Finding
from agents.verify.kinds import FindingKind
from agents.verify.report import VerifyReport
from agents.verify.verify import verify
from streams.clock import ManualClock
from streams.kafka.environment import Environment
from streams.kafka.topic_specs import Topics
from streams.settings import Settings
from streams.state import keys
from tests.rigs.kept_log import KeptLog, KeptPartition
from tests.rigs.upgrade import deployment as recording

__all__ = ["Case", "Deployment", "Plant", "check", "deployment", "names", "recorded"]


@dataclass
class Deployment:
    """The recorded deployment: a source that expired, one that came back, two that are hot."""

    settings: Settings
    log: KeptLog
    topics: Topics

    def partition(self, topic: str, number: int = 0) -> KeptPartition:
        return self.log[self.topics.prefix + topic, number]

    def shard_of(self, source: str) -> tuple[int, str, int]:
        """A shard with an archived segment of the source: its number, the segment's id and the
        offset in the archive."""
        for number in range(self.settings.partitions):
            for offset, record in sorted(self.partition("archive", number).records.items()):
                headers = dict(record.headers)
                if headers["source"] == source.encode():
                    return number, (headers["segment"] or b"").decode(), offset
        raise AssertionError(f"nothing of {source} lies in the archive")

    def hot_segment(self, source: str) -> tuple[int, str]:
        """A shard with a hot segment that holds the source alone: its number, the segment's id."""
        for number in range(self.settings.partitions):
            for record in self.partition("changelog", number).records.values():
                kind, value = keys.kind(record.key or b""), record.value
                if kind == b"i" and value is not None and f'{{"{source}":'.encode() in value:
                    name = keys.name(record.key or b"")
                    if self.partition("changelog", number).last(keys.index(name)).value:
                        return number, name
        raise AssertionError(f"no hot segment of {source}")

    def entry(self, shard: int, source: str, segment: str) -> dict[str, Any]:
        """The manifest entry of a segment."""
        value = self.partition("changelog", shard).last(keys.manifest_entry(source, segment)).value
        found: dict[str, Any] = json.loads(value or b"")
        return found

    def put(self, shard: int, key: bytes, value: bytes | None) -> int:
        """A later value of a key of a shard's changelog, as by a shard."""
        return self.partition("changelog", shard).append(key, value)

    def verified(self, **options: Any) -> VerifyReport:
        """As of the moment of the recording: the stores are recent then."""
        times = [
            r.timestamp for kept in self.log.partitions.values() for r in kept.records.values()
        ]
        environment = Environment(self.settings, self.log, ManualClock(max(times)))
        return asyncio.run(verify(environment, **options))


Plant = Callable[[Deployment], dict[str, Any]]
"""Damages a deployment; returns parts of `where` that the finding must name."""


def recorded(folder: Path) -> Deployment:
    settings = recording.settings("none:1", folder)
    return Deployment(settings, KeptLog.of(recording.FIXTURE, settings), Topics(settings.prefix))


def names(finding: Finding, parts: dict[str, Any]) -> bool:
    """Whether a finding names these parts of a place."""
    return all(getattr(finding.where, name) == value for name, value in parts.items())


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return recorded(tmp_path)


@dataclass(frozen=True)
class Case:
    """A planted damage, the finding that it must give, and others that it explains."""

    plant: Plant
    kind: FindingKind
    also: frozenset[FindingKind] = frozenset()


def check(deployment: Deployment, case: Case) -> None:
    """The damage is found and named, and nothing else is."""
    parts = case.plant(deployment)
    report = deployment.verified()
    found = [one for one in report.findings if one.kind is case.kind]
    assert any(names(one, parts) for one in found), (parts, report.findings)
    assert set(report.counts) <= {case.kind} | case.also, report.findings
    assert all(one.what and one.remedy for one in report.findings)
    assert not report.whole

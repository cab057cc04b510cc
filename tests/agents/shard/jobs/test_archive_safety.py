"""Nothing leaves the hot tables unless the archive keeps it for ever."""

from pathlib import Path

import pytest

from agents.shard.jobs.archive_safety import ArchiveSafety, ArchiveUnsafe
from schemas.errors import Recoverable
from streams.clock import ManualClock
from streams.kafka.environment import Environment
from tests.rigs.verified import recorded


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
    ],
)
async def test_an_archive_that_loses_records_is_not_safe(
    tmp_path: Path, setting: str, value: str
) -> None:
    deployment, clock = recorded(tmp_path), ManualClock(0)
    safety = ArchiveSafety(Environment(deployment.settings, deployment.log, clock))
    await safety.check()
    deployment.log.other_configs[deployment.topics.archive] = {setting: value}
    await safety.check()  # the answer of a moment ago counts
    clock.advance(3_000)
    with pytest.raises(ArchiveUnsafe, match=f"{setting} is {value}, must be .*kafka-configs.sh"):
        await safety.check()
    deployment.log.other_configs.clear()
    await safety.check()


@pytest.mark.parametrize("setting", ["segment.bytes", "min.insync.replicas"])
async def test_other_settings_hold_nothing_up(tmp_path: Path, setting: str) -> None:
    deployment = recorded(tmp_path)
    deployment.log.other_configs[deployment.topics.archive] = {setting: "1"}
    await ArchiveSafety(Environment(deployment.settings, deployment.log, ManualClock(0))).check()


async def test_what_cannot_be_found_out_is_not_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = recorded(tmp_path)
    admin = deployment.log.admin

    async def configs(topics: list[str]) -> dict[str, dict[str, str]]:
        raise Recoverable("the broker refuses", remedy="Give the worker DescribeConfigs")

    admin.configs = configs
    monkeypatch.setattr(type(deployment.log), "admin", property(lambda _: admin))
    safety = ArchiveSafety(Environment(deployment.settings, deployment.log, ManualClock(0)))
    with pytest.raises(ArchiveUnsafe, match="cannot be read: the broker refuses"):
        await safety.check()

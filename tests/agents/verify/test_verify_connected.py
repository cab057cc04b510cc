"""`emberline verify` against a broker: what it says and its exit code, whole and damaged."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from agents.cli import main
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state import keys
from tests.rigs.upgrade import deployment
from tests.rigs.upgrade.replay import remove_topics, replay
from tests.rigs.verified import recorded

pytestmark = pytest.mark.connected


@pytest.fixture
async def replayed(broker: str, tmp_path: Path) -> AsyncIterator[Settings]:
    """The recorded deployment on a broker, without a worker."""
    settings = deployment.settings(broker, tmp_path)
    await remove_topics(settings)
    await replay(deployment.FIXTURE, settings)
    yield settings
    await remove_topics(settings)


def call(settings: Settings, *args: str) -> Result:
    flags = ["--bootstrap-servers", settings.bootstrap_servers, "--prefix", settings.prefix]
    flags += ["--partitions", str(settings.partitions), "--data-dir", str(settings.data_dir)]
    return CliRunner().invoke(main, [*flags, "verify", *args])


async def test_it_says_what_is_damaged_and_rebuilds_a_lost_entry(
    replayed: Settings, tmp_path: Path
) -> None:
    whole = await asyncio.to_thread(call, replayed)
    assert (whole.exit_code, whole.stdout.splitlines()[-1]) == (0, "Everything is whole.")
    assert "4 archived segments (14 rows" in whole.stdout

    topics = Topics(replayed.prefix)
    shard, segment, offset = recorded(tmp_path).shard_of(deployment.EXPIRED)
    async with AIOKafkaProducer(bootstrap_servers=replayed.bootstrap_servers) as producer:
        key = keys.manifest_entry(deployment.EXPIRED, segment)
        await producer.send_and_wait(topics.changelog, key=key, partition=shard)
    # while workers may run nothing is written
    dry = await asyncio.to_thread(call, replayed, "--rebuild")
    assert (dry.exit_code, f"{topics.archive}[{shard}]@{offset}" in dry.stdout) == (1, True)
    assert "1 entry would be written" in dry.stdout
    mended = await asyncio.to_thread(call, replayed, "--rebuild", "--yes")
    assert (mended.exit_code, "Wrote 1 of 1 entry" in mended.stdout) == (0, True)
    again = await asyncio.to_thread(call, replayed)
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "Everything is whole.")

    async with AIOKafkaProducer(bootstrap_servers=replayed.bootstrap_servers) as producer:
        await producer.send_and_wait(topics.changelog, key=key, partition=shard)
    await KafkaLog(replayed).admin.delete_below((topics.archive, 2), 4)

    damaged = await asyncio.to_thread(call, replayed, "--json")
    found: dict[str, Any] = json.loads(damaged.stdout)
    assert (damaged.exit_code, found["whole"]) == (1, False)
    assert {"archive_unlisted", "archive_missing"} <= set(found["counts"])
    named = {(one["kind"], one["where"].get("segment")) for one in found["findings"]}
    assert ("archive_unlisted", segment) in named
    told = await asyncio.to_thread(call, replayed)
    assert f"{topics.archive}[{shard}]@{offset}" in told.stdout


def test_wrong_use_exits_with_2(tmp_path: Path) -> None:
    for args in (["--partitions", "none", "verify"], ["verify", "--yes"]):
        assert CliRunner().invoke(main, args).exit_code == 2

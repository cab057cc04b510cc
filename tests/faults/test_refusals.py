"""Conditions under which a worker must not run: it ends at once, naming the place and the
remedy.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.tools.bench.watch import Watch
from streams.kafka import topics as topic_admin
from streams.kafka.offsets import bounds
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster, small, until
from tests.rigs.faults.traffic import Traffic

pytestmark = [pytest.mark.connected, pytest.mark.slow]


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client."""
    client = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def refused(cluster: Cluster, *words: str) -> None:
    """Wait until the worker has ended with exit code 1, and look for `words` in its log."""
    slot = cluster.slots[0]
    child = slot.child
    assert child is not None

    async def ended() -> bool:
        return not child.running()

    await until(ended, 60, "the worker has ended", slot.tail)
    assert child.wait(0) == 1
    said = slot.tail()
    for word in words:
        assert word in said, said


async def test_each_topic_with_a_wrong_setting_is_named_with_its_remedy(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    wrong = {
        topics.changelog: ("cleanup.policy", "delete"),
        topics.archive: ("retention.ms", "86400000"),
        topics.state: ("cleanup.policy", "delete"),
    }
    async with admin(settings) as client:
        await client.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, name, {setting: value})
                for name, (setting, value) in wrong.items()
            ]
        )

    async def altered() -> bool:
        found = await topic_admin.configs(settings, list(wrong))
        return all(found[name][setting] == value for name, (setting, value) in wrong.items())

    await until(altered, 30, "the broker says the new values")
    with Cluster(settings, tmp_path, workers=1) as cluster:
        cluster.start()
        await refused(cluster, "and 2 more")
        said = cluster.slots[0].log.read_text()
    for name, (setting, _) in wrong.items():
        assert f"--entity-name {name} --add-config {setting}=" in said, said


async def test_another_number_of_partitions_is_refused(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    with Cluster(replace(settings, partitions=3), tmp_path, workers=1) as cluster:
        cluster.start()
        await refused(cluster, "partitions", "4")


async def test_a_changelog_of_another_number_of_partitions_is_refused(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    with Cluster(settings, tmp_path, workers=1) as cluster:
        cluster.start()
        await cluster.ready()
        cluster.slots[0].kill()
        # every topic gets a partition more, so that only the owner records tell
        async with admin(settings) as client:
            for spec in await client.describe_topics():
                if spec["topic"].startswith(settings.prefix) and len(spec["partitions"]) == 4:
                    await client.create_partitions({spec["topic"]: NewPartitions(5)})
    again = tmp_path / "again"
    again.mkdir()
    with Cluster(replace(settings, partitions=5), again, workers=1) as cluster:
        cluster.start()
        # a shard or the coordinator, whichever is first; and no circle of remedies
        await refused(cluster, "4 partitions", "EMBERLINE_PARTITIONS=4", "take a new prefix")


async def test_an_input_whose_start_has_passed_the_cursor_is_refused(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    ours = small(settings)
    traffic = Traffic(ours, 3)
    with Cluster(ours, tmp_path, workers=1) as cluster:
        async with Watch(ours) as watch:
            cluster.start()
            await traffic.some(20)
            spans = await bounds(ours, [(topics.event("send"), p) for p in range(4)])
            child = cluster.slots[0].child
            assert child is not None
            await watch.caught_up(child, {place: end for place, (_, end) in spans.items()}, 60)
        cluster.slots[0].kill()
        await traffic.some(20)
        spans = await bounds(ours, [(topics.event("send"), p) for p in range(4)])
        async with admin(ours) as client:
            await client.delete_records(
                {TopicPartition(*place): RecordsToDelete(end) for place, (_, end) in spans.items()}
            )
        cluster.start()
        await refused(cluster, topics.event("send"), "no longer")


async def test_a_missing_topic_is_named(settings: Settings, tmp_path: Path) -> None:
    async with admin(settings) as client:
        await client.create_topics([NewTopic(f"{settings.prefix}unrelated", 1, 1)])
    with Cluster(settings, tmp_path, workers=1) as cluster:
        cluster.start()
        await refused(cluster, "topics create")

"""Topics on a real broker: created, checked as correct, checked as wrong."""

import asyncio
import dataclasses

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.errors import Fatal, Recoverable
from streams.kafka.topic_repair import set_configs
from streams.kafka.topics import Topics, check, create, partitions, repair
from streams.settings import Settings

pytestmark = pytest.mark.connected


async def test_all_are_missing_then_made_then_right(settings: Settings) -> None:
    problems = await check(settings)
    assert {problem.setting for problem in problems} == {"topic"}
    names = Topics(settings.prefix).all()
    assert [problem.topic for problem in problems] == list(names)

    assert sorted(await create(settings)) == sorted(names)
    assert await check(settings) == []
    assert await create(settings) == []


async def test_another_number_of_shards_is_found(settings: Settings, topics: Topics) -> None:
    problems = await check(dataclasses.replace(settings, partitions=8))
    assert {problem.setting for problem in problems} == {"partitions"}
    assert {problem.found for problem in problems} == {"4"}
    assert topics.archive in {problem.topic for problem in problems}


async def test_fewer_copies_than_set_are_found(settings: Settings, topics: Topics) -> None:
    """A broker makes what its own default says where somebody else made the topic."""
    problems = await check(dataclasses.replace(settings, replication_factor=3))
    missing = {problem.topic for problem in problems if problem.setting == "replicas"}
    assert missing == set(topics.all())
    assert {problem.setting for problem in problems} == {"replicas", "min.insync.replicas"}


async def test_what_a_former_version_made_is_repaired_and_nothing_else(
    settings: Settings, topics: Topics
) -> None:
    former = {"message.timestamp.type": "CreateTime", "retention.ms": "604800000"}
    tuned = {"message.timestamp.type": "CreateTime", "segment.bytes": "1048576"}
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        await set_configs(
            admin,
            {
                topics.repartition: former,
                topics.changelog: tuned,
                topics.archive: {"retention.ms": "604800000"},
            },
        )
        async with asyncio.timeout(30):
            wrong = await check(settings)
            while len(wrong) < 4:  # brokers hear of it in their own time
                wrong = await check(settings)
        repaired = await repair(settings)

        assert {(problem.topic, problem.setting) for problem in repaired} == {
            (topics.repartition, "message.timestamp.type"),
            (topics.repartition, "retention.ms"),
            (topics.changelog, "message.timestamp.type"),
        }
        # somebody may have meant that one: a person decides
        (left,) = await check(settings)
        assert (left.topic, left.setting, left.repairable) == (
            topics.archive,
            "retention.ms",
            False,
        )
        [answer] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topics.changelog)]
        )
        configs = {entry[0]: entry[1] for entry in answer.resources[0][4]}
        assert configs["segment.bytes"] == tuned["segment.bytes"]
        assert configs["cleanup.policy"] == "compact"
        assert await repair(settings) == []
        with pytest.raises(Fatal, match="does not let this client set"):
            await set_configs(admin, {topics.archive: {"retention.ms": "never"}})
    finally:
        await admin.close()


async def test_partitions_of_all_topics(settings: Settings, topics: Topics) -> None:
    there = await partitions(settings)
    assert (there[topics.archive], there[topics.control]) == (4, 1)


async def test_more_replicas_than_brokers(settings: Settings) -> None:
    with pytest.raises(Fatal, match="refused to create topic") as caught:
        await create(dataclasses.replace(settings, replication_factor=50))
    assert "replication_factor" in caught.value.remedy


async def test_no_broker_there(settings: Settings) -> None:
    away = dataclasses.replace(settings, bootstrap_servers="127.0.0.1:1")
    with pytest.raises(Recoverable, match=r"127\.0\.0\.1:1 does not answer"):
        await check(away)

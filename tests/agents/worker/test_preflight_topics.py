"""The checks and corrections of topics before a worker starts."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agents.worker.preflight import topics_checked
from schemas.errors import Fatal
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_repair import set_configs
from streams.kafka.topics import Topics, check
from streams.settings import Settings

pytestmark = pytest.mark.connected


async def altered(settings: Settings, configs: dict[str, dict[str, str]]) -> None:
    """Set settings of topics; returns when the broker has heard of it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await set_configs(admin, configs)
    await admin.close()
    wanted = {(topic, name) for topic, values in configs.items() for name in values}
    async with asyncio.timeout(30):
        found = await check(settings)
        while {(problem.topic, problem.setting) for problem in found} != wanted:
            found = await check(settings)


async def test_a_worker_sets_what_a_former_version_made_otherwise_and_starts(
    settings: Settings, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    await altered(
        settings,
        {
            topics.repartition: {
                "message.timestamp.type": "CreateTime",
                "retention.ms": "604800000",
            },
            topics.shard_reports: {"retention.ms": "604800000"},
            topics.changelog: {"message.timestamp.type": "CreateTime"},
        },
    )

    await topics_checked(KafkaLog(settings))

    assert await check(settings) == []
    said = f"{topics.repartition}: retention.ms is 604800000, must be -1, and is now"
    assert said in caplog.text


async def test_a_worker_refuses_settings_that_may_be_intended(
    settings: Settings, topics: Topics
) -> None:
    await altered(settings, {topics.changelog: {"delete.retention.ms": "60000"}})

    with pytest.raises(Fatal, match=r"changelog: delete\.retention\.ms is 60000") as caught:
        await topics_checked(KafkaLog(settings))

    assert "--add-config delete.retention.ms=86400000" in caught.value.remedy

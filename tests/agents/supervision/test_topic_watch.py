"""Topics that are changed while workers run: the change is found, named and counted, with a
remedy.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from agents.supervision.topic_watch import TopicWatch
from schemas.errors import Recoverable
from streams.kafka import topics as topic_admin
from streams.kafka.environment import Environment
from streams.kafka.topic_repair import set_configs
from streams.kafka.topics import Topics
from streams.settings import Settings

pytestmark = pytest.mark.connected

DEADLINE_S = 60.0


@asynccontextmanager
async def admin_of(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def found(watch: TopicWatch, *wanted: tuple[str, str]) -> None:
    """Look until exactly these topics and settings are wrong: brokers hear of it late, and one may
    know a topic whose settings another does not know yet.
    """
    async with asyncio.timeout(DEADLINE_S):
        seen: set[tuple[str, str]] | None = None
        while seen != set(wanted):
            await asyncio.sleep(0.05)
            with suppress(Recoverable):
                await watch.once()
                seen = {(one.topic, one.setting) for one in watch.findings}


async def test_events_in_added_partitions_are_lag_and_the_remedy_leads_on(
    settings: Settings, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    click = topics.event("click")
    watch = TopicWatch(Environment.of(settings))
    await watch.once()
    assert (watch.findings, watch.unread(0)) == ((), {})
    async with admin_of(settings) as admin:
        await admin.create_partitions({click: NewPartitions(6)})
    await found(watch, (click, "partitions"))
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        async with asyncio.timeout(DEADLINE_S):
            while len(await producer.partitions_for(click)) < 6:
                await producer.client.force_metadata_update()
        for partition in (0, 4, 5, 5):
            await producer.send_and_wait(click, b"x", partition=partition)
    (problem,) = watch.misleading
    assert "Nobody reads partitions 4 to 5" in problem.remedy
    assert "new prefix with partitions=6" in problem.remedy
    async with asyncio.timeout(DEADLINE_S):
        while watch.unread(1) != {click: 2}:
            await watch.once()
    assert [watch.unread(shard) for shard in range(4)] == [{click: 1}, {click: 2}, {}, {}]
    await watch.once()
    said = [line for line in caplog.messages if f"{click}: partitions is 6" in line]
    assert len(said) == 1, "once, however often it is looked at"


async def test_a_changed_setting_is_reported_until_it_is_corrected(
    settings: Settings, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "agents.supervision.topic_watch")
    watch = TopicWatch(Environment.of(settings))
    async with admin_of(settings) as admin:
        await set_configs(admin, {topics.archive: {"retention.ms": "1000000"}})
        assert watch.archive_fault is None, "not looked at yet"
        await found(watch, (topics.archive, "retention.ms"))
        assert "retention.ms is 1000000, must be -1. kafka-configs.sh" in (
            watch.archive_fault or ""
        )
        assert watch.misleading == [], "what is answered now is right"
        await set_configs(admin, {topics.archive: {"retention.ms": "-1"}})
    await found(watch)
    assert watch.archive_fault == ""
    assert any("solved" in line for line in caplog.messages)


async def test_a_topic_that_is_deleted_or_created_again_is_reported(
    settings: Settings, topics: Topics
) -> None:
    watch = TopicWatch(Environment.of(settings))
    await watch.once()
    async with admin_of(settings) as admin:
        await admin.delete_topics([topics.users])
    await found(watch, (topics.users, "topic"))
    async with asyncio.timeout(DEADLINE_S):
        made = await topic_admin.create(settings)
        while topics.users not in made:
            made = await topic_admin.create(settings)
    await found(watch, (topics.users, "incarnation"))
    (problem,) = watch.misleading
    assert "emberline topics skip" in problem.remedy

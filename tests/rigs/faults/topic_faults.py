"""Faults of topics: what others write into them, and what an administrator does to them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.tools.operator_requests import command
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka import topics as topic_admin
from streams.kafka.topic_specs import EVENTS
from streams.kafka.topics import Topics
from tests.rigs.faults.harness import until
from tests.rigs.faults.story import Story

__all__ = ["flooded", "topic_made_anew", "topics_altered"]

_DAY_MS = 86_400_000
_FLOODS = 4


async def flooded(story: Story) -> None:
    """Thousands of definitions, commands, JSON records and garbage come beside the load."""
    floods: tuple[Callable[[Story], Awaitable[int]], ...] = (_catalog, _control, _json, _garbage)
    for flood in story.rng.sample(floods, _FLOODS):
        await story.pause(0.3, 2.0)
        story.did[flood.__name__.strip("_")] += await flood(story)
    await story.pause(2.0, 5.0)


async def _catalog(story: Story) -> int:
    """Definitions of other sources, each of them often, with filters that refer to ours."""
    rng, keys, values = story.rng, [], []
    for number in range(4_000):
        key = f"campaign:flood-{rng.randrange(400)}"
        root = {"filter": "received_from_campaign", "campaign": f"c{rng.randrange(5)}"}
        record = {
            "key": key,
            "status": rng.choice(("ACTIVE", "STOPPED", "DRAFT")),
            "name": "x" * rng.randrange(400),
            "updated_at": number,
            "filters": json.dumps(root) if rng.random() < 0.5 else None,
        }
        keys.append(key.encode())
        values.append(codec.encode("definition", record))
    await publish(story.settings, [Chunk("catalog", keys, values)])
    return len(keys)


async def _control(story: Story) -> int:
    """Commands for sources that nobody knows, and holds and their ends for one of ours."""
    rng, keys, values = story.rng, [], []
    for number in range(1_500):
        kind = rng.choice(("restore", "expire", "hold", "unhold"))
        known = kind in ("hold", "unhold") and rng.random() < 0.2
        source = story.traffic.sources[-1] if known else f"campaign:nobody-{number}"
        record = command(kind, (source,), request_id=f"flood-{number}", reason="flood")
        keys.append(source.encode())
        values.append(codec.encode("command", record))
    # the last word on ours: it may expire, and be at work, as before
    last = command("unhold", (story.traffic.sources[-1],), request_id="flood-last")
    keys.append(b"last")
    values.append(codec.encode("command", last))
    await publish(story.settings, [Chunk("control", keys, values)])
    return len(keys)


async def _json(story: Story) -> int:
    """JSON in the topics of events that is no event: fields are missing or of another type."""
    rng, count = story.rng, 0
    for event in EVENTS:
        keys: list[bytes | None] = []
        values: list[bytes | None] = []
        for number in range(800):
            record: dict[str, Any] = {
                "id": f"flood-{event}-{number}",
                "user_id": rng.choice((None, 7, "", {"deep": [[[]]]})),
                "time": rng.choice(("never", -1, 1e300, None)),
                "campaign_id": f"c{rng.randrange(5)}",
            }
            keys.append(rng.choice((None, b"key")))
            values.append(json.dumps(record).encode())
        await publish(story.settings, [Chunk(f"interactions.{event}", keys, values)])
        count += len(keys)
    return count


async def _garbage(story: Story) -> int:
    """Random bytes in every topic that the outside writes to."""
    rng, count = story.rng, 0
    for name in (*(f"interactions.{event}" for event in EVENTS), "users", "catalog", "control"):
        sizes = [rng.choice((0, 1, 5, 40, 3_000)) for _ in range(300)]
        values = [None if rng.random() < 0.05 else rng.randbytes(size) for size in sizes]
        keys = [rng.randbytes(rng.randrange(6)).hex().encode() for _ in sizes]
        await publish(story.settings, [Chunk(name, keys, values)])
        count += len(keys)
    return count


async def topics_altered(story: Story) -> None:
    """Settings of topics that keep data are made dangerous while all runs, and mended later. No
    broker deletes anything meanwhile: it would be gone whatever a worker does.
    """
    topics = Topics(story.settings.prefix)
    dangers = {
        topics.archive: [{"retention.ms": str(30 * _DAY_MS)}, {"cleanup.policy": "compact,delete"}],
        topics.changelog: [{"cleanup.policy": "compact,delete", "retention.ms": str(_DAY_MS)}],
        topics.coordinator: [{"retention.bytes": "1000000000"}],
        topics.state: [{"delete.retention.ms": "1000"}],
        topics.repartition: [{"retention.ms": str(_DAY_MS)}],
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=story.settings.bootstrap_servers)
    await admin.start()
    try:
        for topic in story.rng.sample(sorted(dangers), 3):
            await story.pause(0.5, 2.0)
            found = (await topic_admin.configs(story.settings, [topic]))[topic]
            wrong = {**found, **story.rng.choice(dangers[topic])}
            await _set(admin, topic, wrong)
            story.did[topic.removeprefix(story.settings.prefix)] += 1
            if story.rng.random() < 0.4:  # whoever starts meanwhile says what is wrong, and ends
                story.rng.choice(story.cluster.slots).kill()
            await story.pause(2.0, 5.0)
            await _set(admin, topic, found)
    finally:
        await admin.close()
    await topic_admin.repair(story.settings)


async def _set(admin: AIOKafkaAdminClient, topic: str, configs: dict[str, str]) -> None:
    # the request replaces all settings of a topic
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


async def topic_made_anew(story: Story) -> None:
    """A topic that can be written again from others is deleted and created again, under load."""
    topics = Topics(story.settings.prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=story.settings.bootstrap_servers)
    await admin.start()
    try:
        for topic in story.rng.sample((topics.state, topics.shard_reports, topics.catalog), 2):
            await story.pause(0.5, 3.0)
            await admin.delete_topics([topic])
            if story.rng.random() < 0.5:
                await story.pause(0.0, 3.0)
            await _created(story)
            story.did[topic.removeprefix(story.settings.prefix)] += 1
            await story.pause(3.0, 8.0)
    finally:
        await admin.close()


async def _created(story: Story) -> None:
    """The broker deletes a while after it was asked: so until there is a new one."""

    async def created() -> bool:
        return bool(await topic_admin.create(story.settings))

    await until(created, 60, "the topic is created again", story.cluster.tails)

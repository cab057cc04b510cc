"""Records that wait for a schema registry stay in order, and the other topics are processed."""

import asyncio
from typing import Any

import pytest

from agents.coordinator.held import Held
from agents.coordinator.records import Awaited, read
from agents.coordinator.rules.inputs import CommandRead, DefinitionRead
from schemas.errors import Recoverable
from schemas.records import registry
from streams.kafka.remote_registry import HttpSource, Known
from streams.kafka.topics import Topics
from tests.rigs.coordinator_inputs import ACTIVE, batch
from tests.rigs.registry_server import serving, written

TOPICS = Topics("p.")
NOW = 1_777_000_000_000
DEFINITION: dict[str, Any] = {"key": "campaign:b", "status": "STOPPED"}


async def test_a_topic_is_read_up_to_what_waits_and_from_there_later() -> None:
    with serving() as remote:
        schema_id = remote.register("s", registry.raw("definition"))
        source = HttpSource(remote.url)
        waiting = written(registry.raw("definition"), schema_id, DEFINITION)
        batches = [
            batch(
                TOPICS.catalog,
                (b"campaign:a", ACTIVE),
                (b"campaign:b", waiting),
                (b"campaign:a", None),
            ),
            batch(TOPICS.control, (None, b'{"type":"pause"}')),
        ]
        awaited: dict[str, Awaited] = {}
        known = Known(source)
        items = read(TOPICS, batches, {}, NOW, source=known, awaited=awaited)
        assert [type(item.meaning) for item in items] == [DefinitionRead, CommandRead]
        assert awaited == {TOPICS.catalog: Awaited(1, schema_id)}
        held = Held(source)
        held.keep(batches, awaited)
        assert TOPICS.catalog in held
        assert TOPICS.control not in held
        cursor = {TOPICS.catalog: 1, TOPICS.control: 1}
        async with asyncio.timeout(20):
            while awaited:
                awaited = {}
                items = read(TOPICS, held.again([]), cursor, NOW, source=known, awaited=awaited)
                held.keep(held.again([]), awaited)
                await asyncio.sleep(0)
        assert [item.next_offset for item in items] == [2, 3]
        assert TOPICS.catalog not in held
        await held.close()


async def test_more_than_memory_has_room_for_is_read_again_later() -> None:
    held = Held(None)
    large = batch(TOPICS.catalog, (b"k", b"x" * 900_000))
    held.keep([large] * 70, {TOPICS.catalog: Awaited(0, 1)})
    with pytest.raises(Recoverable):
        held.keep([large] * 72, {TOPICS.catalog: Awaited(0, 1)})

"""The bridge: Currents events of a topic become records exactly once, whatever ends it."""

import asyncio
import io
import json
import random
from pathlib import Path
from typing import Any

import fastavro
import pytest
from aiokafka import TopicPartition

from agents.tools.feed.arrived import Arrived, ArrivedMapper
from agents.tools.feed.bridge import Bridged, bridge
from agents.tools.feed.bridge_lane import BridgeLane, LaneLost
from agents.tools.process import Child, environment_of
from agents.tools.publish import Chunk, Publisher
from agents.tools.records import plain_ids
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.registry import UnknownSchema
from streams.clock import SystemClock
from streams.kafka import clients
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.currents import event, schema_of
from tests.rigs.killed import killed_at

OPEN, SEND = "users.messages.email.Open", "users.messages.email.Send"
SMALL = {
    "agents.tools.feed.bridge.MOST_RECORDS": 50,
    # the least that a broker allows
    "agents.tools.feed.bridge.SESSION_MS": 6_000,
}
PUBLISHER = "agents.tools.publish.Publisher"
DEADLINE_S = 120.0


class Schemas:
    """A registry of the Currents types: id 7 is an open."""

    def writer(self, schema_id: int) -> dict[str, Any]:
        if schema_id != 7:
            raise UnknownSchema(schema_id)
        return schema_of(OPEN)


def mapper() -> ArrivedMapper:
    return ArrivedMapper(Schemas(), plain_ids, 512, SystemClock())


def framed(one: dict[str, Any]) -> bytes:
    out = io.BytesIO(b"\x00\x00\x00\x00\x07")
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema_of(OPEN)), one)
    return out.getvalue()


def union_json(one: dict[str, Any]) -> dict[str, Any]:
    names = {str: "string", bool: "boolean", int: "int"}
    types = {field["name"]: field["type"] for field in schema_of(OPEN)["fields"]}
    return {
        name: {names[type(value)]: value} if value is not None and isinstance(types[name], list)
        else value
        for name, value in one.items()
    }  # fmt: skip


def nested(one: dict[str, Any]) -> dict[str, Any]:
    user = {name: one[name] for name in ("user_id", "external_user_id")}
    rest = {name: one[name] for name in one if name not in (*user, "id", "time")}
    return {"id": one["id"], "time": one["time"], "user": user, "properties": rest}


def test_every_form_of_an_event_gives_the_same_record() -> None:
    one = event(OPEN, random.Random(1), machine_open="true")
    forms = [
        framed(one),
        json.dumps(one | {"event_type": OPEN}).encode(),
        json.dumps(union_json(one) | {"event_type": OPEN}).encode(),
        json.dumps(nested(one) | {"event_type": OPEN}).encode(),
    ]
    made = mapper().map([Arrived("t", 0, n, None, value) for n, value in enumerate(forms)])
    assert made.rejects == []
    values = {value for chunk in made.chunks for value in chunk.values}
    assert len(values) == 1
    assert codec.decode(values.pop() or b"")["machine_open"] is True
    named = mapper().map([Arrived(f"eu.{OPEN}", 0, 0, None, json.dumps(one).encode())])
    assert named.counts[OPEN].sent == 1


def test_what_cannot_be_mapped_is_rejected_with_its_place_and_code() -> None:
    one = event(OPEN, random.Random(2)) | {"event_type": OPEN}
    values: list[bytes | None] = [
        None,
        b"nonsense",
        b"{",
        json.dumps({"id": "1"}).encode(),
        b"\x00\x00\x00\x00\x08x",
        framed(one)[:-3],
        framed(one) + b"x",
        json.dumps(one | {"time": 5}).encode(),
        json.dumps(one | {"machine_open": "maybe"}).encode(),
    ]
    made = mapper().map([Arrived("t", 3, n, b"k", value) for n, value in enumerate(values)])
    codes = [
        *("undecodable", "undecodable", "bad_json", "missing_field", "unknown_schema"),
        *("undecodable", "undecodable", "undecodable", "bad_time"),
    ]
    assert sorted(reject.offset for reject in made.rejects) == list(range(len(values)))
    assert sorted(reject.code for reject in made.rejects) == sorted(codes)
    assert made.chunks == []
    other = json.dumps({"event_type": "users.messages.email.Delivery"}).encode()
    skipped = mapper().map([Arrived("t", 0, 0, None, other)])
    assert sum(skipped.counts["users.messages.email.Delivery"].skipped.values()) == 1


def events_of(count: int, seed: int = 3) -> tuple[list[bytes | None], set[str]]:
    """So many events of a topic, and their ids."""
    chance = random.Random(seed)
    events = [event(SEND, chance) | {"event_type": SEND} for _ in range(count)]
    return [json.dumps(one).encode() for one in events], {str(one["id"]) for one in events}


async def written_input(settings: Settings, count: int) -> tuple[str, set[str]]:
    """A topic of so many events and one that is none, and the ids of the events."""
    values, ids = events_of(count)
    async with Publisher(settings) as publisher:
        # any topic of the prefix that nobody reads will do for the input
        await publisher.publish(
            Chunk("lifecycle.expired", [None] * (count + 1), [*values, b"nonsense"])
        )
    return f"{settings.prefix}lifecycle.expired", ids


async def whole(settings: Settings, topics: Topics, ids: set[str], source: str) -> None:
    """Every event was written once, and what is none was rejected once."""
    names = [topics.event("send"), topics.rejected]
    async with TopicReader.open(KafkaLog(settings), names) as reader:
        records = await reader.rest()
    sent = [str(codec.decode(r.value or b"")["id"]) for t, _, r in records if t == names[0]]
    assert sorted(sent) == sorted(ids)
    (reject,) = [r for t, _, r in records if t == names[1]]
    assert reject.value == b"nonsense"
    assert dict(reject.headers)["topic"] == source.encode()


@pytest.mark.connected
async def test_a_bridge_that_is_killed_at_any_moment_writes_every_event_once(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    source, ids = await written_input(settings, 400)
    # before the offsets are sent, and before the commit, after some transactions
    for call, count in (("send_offsets", 1), ("send_offsets", 3), ("flush", 4)):
        given = ("bridge", source, "--once", "--instance", "one")
        command = killed_at(PUBLISHER, call, count, *given, values=SMALL)
        with Child(command, tmp_path / "log", environment_of(settings)) as child:
            assert await asyncio.to_thread(child.wait, DEADLINE_S) == -9, child.tail()
    group = f"{settings.prefix}bridge"
    done = await bridge(settings, [source], group, mapper(), instance="one", once=True)
    assert 0 < done.sent < len(ids)
    again = await bridge(settings, [source], group, mapper(), instance="one", once=True)
    assert again.read == 0
    await whole(settings, topics, ids, source)


@pytest.mark.connected
async def test_bridges_of_a_group_share_the_partitions_and_one_takes_over_from_one_that_is_killed(
    settings: Settings, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.feed.bridge.SESSION_MS", 6_000)
    source, group = topics.repartition, f"{settings.prefix}bridge"
    ids: set[str] = set()
    seen: list[Bridged] = []
    last: list[bytes | None] = [b"nonsense"]
    command = killed_at(PUBLISHER, "send_offsets", 9, "bridge", source, values=SMALL)
    async with Publisher(settings) as publisher:
        with Child(command, tmp_path / "log", environment_of(settings)) as child:
            here = asyncio.create_task(
                bridge(settings, [source], group, mapper(), progress=seen.append)
            )
            try:
                async with asyncio.timeout(DEADLINE_S):
                    while child.running():
                        values, more = events_of(40, len(ids))
                        ids |= more
                        keys: list[bytes | None] = [one.encode() for one in more]
                        await publisher.publish(Chunk("repartition", keys, values))
                        await publisher.flush()
                        assert not here.done(), here.exception()
                        await asyncio.sleep(0.05)  # a group of two takes a while to form
                    assert child.wait(DEADLINE_S) == -9, child.tail()
                    await publisher.publish(Chunk("repartition", [b"k"], last))
                    await publisher.flush()
                    while await left_over(settings, group, source):
                        assert not here.done(), here.exception()
                        await asyncio.sleep(0.2)  # offsets tell nobody
            finally:
                here.cancel()
                await asyncio.gather(here, return_exceptions=True)
    assert 0 < seen[-1].read < len(ids) + 1, "the other one has written the rest"
    await whole(settings, topics, ids, source)


async def left_over(settings: Settings, group: str, topic: str) -> int:
    """How many records of a topic the group has not read."""
    consumer = clients.consumer(settings, "look", group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, n) for n in range(settings.partitions)]
        ends = await consumer.end_offsets(partitions)
        return sum([end - (await consumer.committed(one) or 0) for one, end in ends.items()])
    finally:
        await consumer.stop()


@pytest.mark.connected
async def test_a_bridge_whose_partition_another_one_has_taken_writes_nothing_more(
    settings: Settings, topics: Topics
) -> None:
    source, ids = await written_input(settings, 100)
    partition = TopicPartition(source, 0)
    group = f"{settings.prefix}bridge"
    consumer = clients.consumer(
        settings, "first", group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        async with BridgeLane(settings, group, partition) as lane:
            await lane.find_start(consumer)
            found = (await consumer.getmany(timeout_ms=5_000))[partition]
            await lane.step(mapper(), found[:30])
            # what lies before the last transaction is not written again
            assert (await lane.step(mapper(), found[:30])).read == 0
            await bridge(settings, [source], group, mapper(), once=True)
            with pytest.raises(LaneLost, match=r"lifecycle\.expired\[0\]"):
                await lane.step(mapper(), found)
    finally:
        await consumer.stop()
    await whole(settings, topics, ids, source)


@pytest.mark.connected
async def test_a_topic_that_is_not_there_ends_it(settings: Settings, topics: Topics) -> None:
    with pytest.raises(Fatal, match="There is no topic nowhere"):
        await bridge(settings, ["nowhere"], "g", mapper(), once=True)

"""The bridge: Currents events of a topic become records exactly once, whatever ends it."""

import asyncio
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import fastavro
import pytest

from agents.tools.feed.arrived import Arrived, ArrivedMapper
from agents.tools.feed.bridge import bridge
from agents.tools.process import Child, environment_of
from agents.tools.publish import Chunk, Publisher
from agents.tools.records import plain_ids
from schemas.records import codec
from schemas.records.registry import UnknownSchema
from streams.clock import SystemClock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.currents import event, schema_of

OPEN, SEND = "users.messages.email.Open", "users.messages.email.Send"
PROGRAM = """
import os, signal, sys
import agents.tools.feed.bridge as bridge
from agents.cli import main
bridge.MOST_RECORDS = 50
owner, name, left = bridge.Publisher, sys.argv[1], int(sys.argv[2])
call = getattr(owner, name)

def killing(*given):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(*given)

setattr(owner, name, killing)
main(sys.argv[3:])
"""
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


@pytest.mark.connected
async def test_a_bridge_that_is_killed_at_any_moment_writes_every_event_once(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    chance = random.Random(3)
    events = [event(SEND, chance) | {"event_type": SEND} for _ in range(400)]
    values: list[bytes | None] = [json.dumps(one).encode() for one in events]
    async with Publisher(settings) as publisher:
        # any topic of the prefix that nobody reads will do for the input
        await publisher.publish(Chunk("lifecycle.expired", [None] * 401, [*values, b"nonsense"]))
    source = f"{settings.prefix}lifecycle.expired"
    # before the offsets are sent, and before the commit, after some transactions
    for call, count in (("send_offsets", 1), ("send_offsets", 3), ("flush", 4)):
        given = (call, str(count), "bridge", source, "--once")
        command = [sys.executable, "-c", PROGRAM, *given]
        with Child(command, tmp_path / "log", environment_of(settings)) as child:
            assert await asyncio.to_thread(child.wait, DEADLINE_S) == -9, child.tail()
    group = f"{settings.prefix}bridge"
    done = await bridge(settings, [source], group, mapper(), once=True)
    assert 0 < done.sent < len(events)
    again = await bridge(settings, [source], group, mapper(), once=True)
    assert again.read == 0
    names = [topics.event("send"), topics.rejected]
    async with TopicReader.open(KafkaLog(settings), names) as reader:
        records = await reader.rest()
    sent = [codec.decode(r.value or b"")["id"] for t, _, r in records if t == names[0]]
    assert sorted(map(str, sent)) == sorted(one["id"] for one in events)
    (reject,) = [r for t, _, r in records if t == names[1]]
    assert reject.value == b"nonsense"
    assert dict(reject.headers)["topic"] == source.encode()

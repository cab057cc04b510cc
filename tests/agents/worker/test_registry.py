"""A worker with a schema registry: one authority for ids, and an outage that stops no answer."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import polars as pl
import pytest

from agents.tools.process import COMMAND, Child, environment_of
from agents.tools.publish import Chunk, publish
from schemas.records import registry
from schemas.records.codec import framed_id
from schemas.tables.placement import partition_of
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.settings_values import Address
from tests.rigs.registry_server import RegistryServer, serving, written
from tests.rigs.worker import running

pytestmark = pytest.mark.connected

DEADLINE_S = 90
NOW = 1_767_225_600_000
FIELDS = registry.raw("send")["fields"]
SWAPPED = {"type": "record", "name": "Send", "fields": [FIELDS[1], FIELDS[0], *FIELDS[2:]]}
STATUS = {"type": "enum", "name": "Status", "symbols": ["stopped", "active"]}
DEFINITION = {
    "type": "record",
    "name": "Definition",
    "fields": [{"name": "status", "type": STATUS}, {"name": "key", "type": "string"}],
}
NAMED = {
    **DEFINITION,
    "fields": [*DEFINITION["fields"], {"name": "name", "type": "string"}],
}
SENT = {
    "type": "record",
    "name": "Sent",
    "namespace": "com.acme",
    "fields": [
        {
            "name": "who",
            "type": {
                "type": "record",
                "name": "Who",
                "fields": [{"name": "number", "type": "long"}],
            },
        },
        {"name": "at", "type": "int"},
        {"name": "what", "type": "string"},
    ],
}
MAPPING = """
[send]
names = ["Sent"]

[send.fields]
id = { hash = ["who.number", "at"] }
user_id = "who.number"
time = { column = "at", unit = "s" }
campaign_id = "what"
"""
LATER = {**SWAPPED, "fields": [*SWAPPED["fields"], {"name": "brand", "type": "string"}]}


def send(user: str, **more: Any) -> dict[str, Any]:
    return {"id": f"of-{user}", "user_id": user, "time": NOW, "campaign_id": "c", **more}


async def cli(settings: Settings, *args: str, url: str) -> None:
    """Run one command with the registry at `url`, or with none."""
    log = settings.data_dir.parent / f"{args[0]}.log"
    env = environment_of(replace(settings, schema_registry_url=Address(url)))
    with Child([*COMMAND, *args], log, env) as child:
        assert await asyncio.to_thread(child.wait, DEADLINE_S) == 0, child.tail()


class Asked:
    """The worker over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(self._address + path) as answer:
            return answer.status, await answer.text()

    async def until(self, path: str, right: Callable[[str], bool]) -> str:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                status, text = await self.get(path)
                if status == 200 and right(text):
                    return text
                await asyncio.sleep(0.1)  # the worker tells nobody


def users(text: str) -> set[str]:
    rows = [json.loads(line) for line in text.splitlines()]
    return {row["user"] for row in rows if "user" in row}


ROWS = "/sources/campaign:c/interactions"


async def publish_event(settings: Settings, schema: Any, schema_id: int, event: Any) -> None:
    value = written(schema, schema_id, event)
    await publish(settings, [Chunk("interactions.send", [event["user_id"].encode()], [value])])


async def publish_definition(
    settings: Settings, schema: Any, schema_id: int, definition: Any
) -> None:
    value = written(schema, schema_id, definition)
    await publish(settings, [Chunk("catalog", [definition["key"].encode()], [value])])


async def test_one_authority_and_an_outage(settings: Settings, topics: Topics) -> None:
    with serving() as remote:
        assert remote.register(f"{topics.event('send')}-value", SWAPPED) == 1
        mappings = settings.data_dir.parent / "mappings.toml"
        mappings.write_text(MAPPING)
        with_registry = replace(
            settings, schema_registry_url=Address(remote.url), mappings_file=str(mappings)
        )
        async with (
            running(with_registry) as worker,
            aiohttp.ClientSession() as session,
        ):
            await worker.ready(DEADLINE_S)
            asked = Asked(session, worker.url)
            # a producer with the registry; the command line with it, and one that was not told
            await publish_event(settings, SWAPPED, 1, send("theirs"))
            await cli(settings, "send", "send", json.dumps(send("ours")), url=remote.url)
            await cli(settings, "send", "send", json.dumps(send("untold")), url="")
            wanted = {"theirs", "ours", "untold"}
            assert users(await asked.until(ROWS, lambda text: len(users(text)) >= 3)) == wanted
            of_catalog = remote.register(f"{topics.catalog}-value", DEFINITION)
            definition = {"key": "campaign:c", "status": "active"}
            await publish_definition(settings, DEFINITION, of_catalog, definition)
            await asked.until("/sources/campaign:c", lambda text: '"ACTIVE"' in text)
            wanted |= await mapped(settings, remote, topics, asked)
            await outage(settings, remote, asked, wanted)
        # who reads what we write with the registry finds nothing, and no other schema
        for topic in (topics.state, topics.audit, topics.control_results):
            ids = {
                framed_id(record.value)
                for _, _, record in await read_all(KafkaLog(settings), topic)
            }
            assert ids <= registry.OWN_IDS
            assert ids


async def mapped(
    settings: Settings, remote: RegistryServer, topics: Topics, asked: Asked
) -> set[str]:
    """Records of another program, which come to the shards of their users whatever their key."""
    schema_id = remote.register("acme.sent-value", SENT)
    numbers = range(100, 140)
    values = [
        written(SENT, schema_id, {"who": {"number": n}, "at": NOW // 1000, "what": "c"})
        for n in numbers
    ]
    values.append(json.dumps({"who": {"number": 140}, "at": NOW // 1000, "what": "c"}).encode())
    values.append(json.dumps({"who": {"number": 141}, "at": "soon", "what": "c"}).encode())
    await publish(settings, [Chunk("interactions.send", [b"key"] * len(values), values)])
    wanted = {str(n) for n in (*numbers, 140)}
    await asked.until(ROWS, lambda text: wanted <= users(text))
    rejected: list[dict[str, bytes | None]] = []
    async with asyncio.timeout(DEADLINE_S):
        while not rejected:
            found = await read_all(KafkaLog(settings), topics.rejected)
            rejected = [dict(record.headers) for _, _, record in found]
    (headers,) = rejected
    assert headers["code"] == b"unmapped"
    assert headers["detail"] == b"time: column at: 'soon' is no time in s since 1970"
    return wanted


async def outage(settings: Settings, remote: RegistryServer, asked: Asked, known: set[str]) -> None:
    """One record of a new id while nothing answers holds up its own shard's ingest alone."""
    later = remote.put(50, LATER)
    named = remote.put(51, NAMED)
    remote.down = True
    definition = {"key": "campaign:c", "status": "stopped", "name": "Spring"}
    await publish_definition(settings, NAMED, named, definition)
    await publish_event(settings, LATER, later, send("waits", brand="x"))
    told = await asked.until("/readyz", lambda text: "warning" in text)
    shard = shard_of("waits", settings)
    assert f"ingest of shard {shard} waits: schema registry" in json.loads(told)["warning"]
    other = next(
        name for name in (f"other{n}" for n in range(100)) if shard_of(name, settings) != shard
    )
    await publish_event(settings, SWAPPED, 1, send(other))
    rows = await asked.until(ROWS, lambda text: other in users(text))
    assert users(rows) == known | {other}
    status = json.loads((await asked.get("/status"))[1])
    lag = {one["partition"]: one["cursor_lag"] for one in status["shards"]}
    assert lag[shard] >= 1
    assert all(one["ready"] for one in status["shards"])
    for _ in range(20):
        assert (await asked.get(ROWS))[0] == 200
    # a definition waits too, and commands go on
    await cli(settings, "hold", "campaign:c", url="")
    held = json.loads((await asked.get("/sources/campaign:c"))[1])
    assert (held["name"], held["status"]) == ("", "ACTIVE")
    remote.down = False
    await asked.until("/sources/campaign:c", lambda text: '"Spring"' in text)
    rows = await asked.until(ROWS, lambda text: "waits" in users(text))
    assert users(rows) == known | {other, "waits"}
    await asked.until("/readyz", lambda text: "warning" not in text)


def shard_of(user: str, settings: Settings) -> int:
    found: int = partition_of(pl.Series([user]), settings.partitions).item()
    return found

"""A worker on a secured cluster: the whole way of a source, with the least rights of each role."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka.errors import GroupAuthorizationFailedError
from click.testing import CliRunner, Result

from agents.cli import main
from agents.reference.rights import Right, rights
from agents.tools.feed.arrived import ArrivedMapper
from agents.tools.feed.bridge import Bridged, bridge
from agents.tools.import_files import RecordFiles
from agents.tools.importer import ImportOptions, import_files
from agents.tools.inspection import Inspection
from agents.tools.publish import Chunk, publish
from agents.tools.records import ids_of
from agents.worker.preflight import rights_checked
from schemas.errors import EmberlineError
from schemas.records.registry import FILES
from streams.clock import SystemClock
from streams.devbroker.secured import SecuredBroker
from streams.kafka import clients
from streams.kafka import topics as topic_admin
from streams.kafka.environment import Environment
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Record
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import Topics
from streams.settings import SET, Settings, describe
from tests.rigs.currents import event
from tests.rigs.secured import USERS, change_rights, secured_settings
from tests.rigs.worker import DEADLINE_S, running

pytestmark = pytest.mark.connected

GROUP = "reports"
SOURCE = "campaign:spring"


@dataclass(frozen=True)
class Cluster:
    """The settings of each role, whose user has its rights and no others."""

    broker: SecuredBroker
    folder: Path
    prefix: str

    def of(self, role: str, **more: object) -> Settings:
        # sessions of this mechanism end every four seconds
        given = self.broker.as_user(role, "SCRAM-SHA-256") | {
            "prefix": self.prefix,
            "partitions": 2,
            "retention": "PT2S",
            "sweep_interval": "PT1S",
            "sweep_confirm_share": 1,
            "late_age": "PT1H",
        }
        return secured_settings(given, self.folder, **more)

    def acls(self, role: str) -> list[tuple[str, Right]]:
        group = "" if role == "bridge" else GROUP
        # any topic that a producer may write will do for what a bridge reads
        read = [Topics(self.prefix).catalog] if role == "bridge" else []
        return [(role, right) for right in rights(self.of(role), role, group, read)]


@pytest.fixture
async def cluster(secured: SecuredBroker, tmp_path: Path, prefix: str) -> Cluster:
    made = Cluster(secured, tmp_path, prefix)
    await change_rights(secured, [acl for role in USERS for acl in made.acls(role)])
    await topic_admin.create(made.of("setup"))
    return made


async def ran(settings: Settings, *args: str) -> Result:
    """A command, run as the user of the settings."""
    given = {line.name: line.value for line in describe(settings) if line.value != SET}
    flags = [
        part
        for name, value in given.items()
        if settings.origins[name] != "default"
        for part in ("--set", f"{name}={value}")
    ]
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(CliRunner().invoke, main, [*args, "--json", *flags])


def result(done: Result) -> Any:
    return json.loads(done.stdout.splitlines()[-1])


async def emberline(settings: Settings, *args: str) -> Any:
    """What a command that must succeed prints as JSON."""
    done = await ran(settings, *args)
    assert done.exit_code == 0, done.output
    return result(done)


def definition(status: str) -> str:
    return json.dumps({"key": SOURCE, "kind": "campaign", "name": "Spring", "status": status})


async def next_source(consumer: Any) -> str:
    async with asyncio.timeout(DEADLINE_S):
        record = await consumer.getone()
    assert record.key == SOURCE.encode()
    return str(record.topic)


async def test_a_source_expires_and_comes_back_with_the_least_rights(cluster: Cluster) -> None:
    topics = Topics(cluster.prefix)
    producer, operator = cluster.of("producer"), cluster.of("operator")
    reading = clients.consumer(
        cluster.of("consumer"),
        "reports",
        group_id=GROUP,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await reading.start()
    reading.subscribe([topics.expired, topics.restored])
    events = [
        json.dumps({"id": f"e{n}", "user_id": f"u{n}", "time": 1_767_225_600_000,
                    "campaign_id": "spring", "channel": "EMAIL"}).encode()
        for n in range(100)
    ]  # fmt: skip
    keys = [f"u{n}".encode() for n in range(100)]
    asked = '{"filter": "received_from_campaign", "campaign": "spring"}'
    async with running(cluster.of("worker")) as worker:
        await worker.ready()
        here = cluster.of("operator", http_port=int(worker.url.rpartition(":")[2]))
        await emberline(producer, "send", "definition", definition("ACTIVE"))
        await publish(producer, [Chunk("interactions.send", keys, events)])

        async def all_found() -> None:
            # while the source is not known, or not available, the question is refused
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    done = await ran(here, "audience", asked, "--format", "count")
                    if done.exit_code == 0 and result(done)["count"] == len(events):
                        return
                    await asyncio.sleep(0.1)

        await all_found()
        await emberline(producer, "send", "definition", definition("STOPPED"))
        assert await next_source(reading) == topics.expired
        await emberline(operator, "restore", SOURCE)
        assert await next_source(reading) == topics.restored
        # otherwise it would expire again
        await emberline(producer, "send", "definition", definition("ACTIVE"))
        await all_found()
        assert (await emberline(operator, "topics", "check"))["ok"]
        await emberline(operator, "audit", SOURCE)
        await emberline(operator, "status")

        await _loses_its_password(cluster, worker)
        said = worker.log.read_text()
    await reading.stop()
    assert not [word for word in USERS.values() if word in said]


async def test_imports_and_bridges_with_the_least_rights(cluster: Cluster, tmp_path: Path) -> None:
    kind = "users.messages.email.Send"
    events = [event(kind, random.Random(n)) | {"event_type": kind} for n in range(3)]
    values = [json.dumps(one).encode() for one in events]
    await publish(
        cluster.of("producer"), [Chunk("catalog", [b"1", b"2", b"3", b"4"], [*values, b"none"])]
    )
    bridged = await bridges(cluster)
    assert (bridged.read, bridged.sent, bridged.rejected) == (4, 3, 1)
    file = tmp_path / "events.jsonl"
    time = 1_767_225_600_000
    lines = [
        {"type": "send", "id": "e", "user_id": "u", "time": time, "campaign_id": "spring"},
        {"type": "user", "user_id": "u"},
        {"type": "definition", "key": SOURCE, "kind": "campaign", "status": "ACTIVE"},
    ]
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    done = await emberline(cluster.of("importer"), "import", str(file))
    assert (done["records"], done["bad"]) == (3, 0)


def write(file: str, text: str) -> None:
    Path(file).touch(mode=0o600)
    Path(file).write_text(text)


async def _loses_its_password(cluster: Cluster, worker: Any) -> None:
    """It runs on, says so in /readyz, and is well once the file has the right one."""
    file = cluster.of("worker").kafka_sasl_password_file
    write(file, "another")
    async with aiohttp.ClientSession() as session, asyncio.timeout(DEADLINE_S):

        async def ready() -> dict[str, Any]:
            async with session.get(f"{worker.url}/readyz") as answer:
                found: dict[str, Any] = await answer.json()
                return found

        while "refuse" not in str(await ready()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        status = await worker.status(session)
        assert "does not accept user worker" in str(status["broker"])
        write(file, USERS["worker"])
        while (await ready()) != {"status": "ready"}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_worker_with_a_wrong_password_ends_and_says_what_to_do(
    secured: SecuredBroker, tmp_path: Path, prefix: str
) -> None:
    cluster = Cluster(secured, tmp_path, prefix)
    wrong = str(tmp_path / "wrong")
    write(wrong, "not-this")
    async with running(cluster.of("worker", kafka_sasl_password_file=wrong)) as worker:
        assert await worker.ended() == 1
        said = worker.log.read_text()
    assert "does not accept user worker" in said
    assert "kafka_sasl_password_file" in said
    assert "not-this" not in said


async def produces(cluster: Cluster) -> None:
    await publish(cluster.of("producer"), [Chunk("interactions.send", [b"a"], [b"{}"])])


async def reads(cluster: Cluster) -> None:
    log = KafkaLog(cluster.of("consumer"))
    async with TopicReader.open(log, [Topics(cluster.prefix).expired]) as reader:
        await reader.some()


async def joins(cluster: Cluster) -> None:
    made = clients.consumer(cluster.of("consumer"), "reports", group_id=GROUP)
    await made.start()
    made.subscribe([Topics(cluster.prefix).expired])
    try:
        await made.getmany(timeout_ms=100)
    finally:
        await made.stop()


async def commits(cluster: Cluster) -> None:
    writer = KafkaLog(cluster.of("worker")).writer(f"{cluster.prefix}shard-0")
    try:
        await writer.start()
        await writer.commit([Record(Topics(cluster.prefix).changelog, b"k", b"v")])
    finally:
        await writer.close()


async def starts(cluster: Cluster) -> None:
    await rights_checked(Environment.of(cluster.of("worker")))


async def purges(cluster: Cluster) -> None:
    repartition = Topics(cluster.prefix).repartition
    await KafkaLog(cluster.of("worker")).admin.delete_below((repartition, 0), 0)


async def commands(cluster: Cluster) -> None:
    await publish(cluster.of("operator"), [Chunk("control", [None], [b"{}"])])


async def imports(cluster: Cluster) -> None:
    file = cluster.folder / "users.jsonl"
    file.write_text('{"type": "user", "user_id": "u"}\n')
    settings = cluster.of("importer")
    reader = RecordFiles(None, Inspection(settings))
    await import_files(settings, [file], reader, options=ImportOptions(again=True))


async def bridges(cluster: Cluster) -> Bridged:
    settings = cluster.of("bridge")
    mapper = ArrivedMapper(FILES, ids_of(settings), 512, SystemClock())
    topics = [f"{cluster.prefix}catalog"]
    return await bridge(settings, topics, f"{cluster.prefix}bridge", mapper, once=True)


Do = Callable[[Cluster], Any]
FEWER: dict[str, tuple[Do, str, str, tuple[str, ...], str]] = {
    "a producer": (produces, "producer", "interactions.send", ("Write",), "interactions.send"),
    "a reader": (reads, "consumer", "lifecycle.expired", ("Read",), "lifecycle.expired"),
    "a group": (joins, "consumer", GROUP, ("Read",), GROUP),
    "an operator": (commands, "operator", "control", ("Read", "Write"), "control"),
    "an import": (imports, "importer", "users", ("Write",), "users"),
    "a bridge's group": (bridges, "bridge", "bridge", ("Read",), "bridge"),
    "a bridge's input": (bridges, "bridge", "catalog", ("Read",), "catalog"),
    "a bridge's transactions": (bridges, "bridge", "bridge-bridge-", ("Write",), "transactional"),
    "a worker's changelog": (starts, "worker", "changelog", ("Write",), "Write on topic"),
    "a worker's archive": (starts, "worker", "archive", ("Delete",), "Delete on topic"),
    "a worker's group": (starts, "worker", "workers", ("Read",), "Read on group"),
    "a worker's transactions": (starts, "worker", "", ("Write",), "Write on transactional id"),
    "a writer's transactions": (commits, "worker", "", ("Write",), "emberline topics acls"),
    "a writer's topic": (commits, "worker", "changelog", ("Write",), "emberline topics acls"),
    "a purge": (purges, "worker", "repartition", ("Delete",), "emberline topics acls"),
}


async def test_one_right_fewer_is_named(cluster: Cluster) -> None:
    for kind, (do, role, resource, operations, named) in FEWER.items():
        await do(cluster)
        name = resource if resource == GROUP else f"{cluster.prefix}{resource}"
        (right,) = [right for _, right in cluster.acls(role) if right.name == name]
        taken = (role, Right(right.resource, right.name, operations, right.prefixed))
        await change_rights(cluster.broker, [taken], remove=True)
        with pytest.raises((EmberlineError, GroupAuthorizationFailedError)) as caught:
            await do(cluster)
        assert named in str(caught.value), kind
        await change_rights(cluster.broker, [taken])

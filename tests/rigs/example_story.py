"""What the programs of `examples/` do with one broker and one worker, which all languages share.

The producers of all languages send events of the same users, a source expires and comes back twice,
and a consumer of each language is killed, and starts again as another member, meanwhile.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from agents.tools.oracle import Interactions, expect, row_key
from agents.tools.process import environment
from agents.users.partition import partition_of_user
from schemas.records import codec
from streams.kafka import topics as topic_admin
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import Located, read_all
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.examples import LANGUAGES, Missing, Program, build
from tests.rigs.faults.harness import define, until
from tests.rigs.worker import Process, running

__all__ = [
    "ALL_FACTS",
    "PARTITIONS",
    "SOURCE",
    "TYPES",
    "USERS",
    "Consumer",
    "Done",
    "Stage",
    "Story",
    "decoded",
    "expired_fact",
    "sent",
    "tell",
]

PARTITIONS = 3
"""No power of two: otherwise a hash with its sign and one without fall on the same partition."""
USERS = ("ada", "grace", "z", "zoë", "李小龙", "user-1", "user-22", "user-333", "9f8e7d6c5b4a")
SOURCE, END = "campaign:spring", "campaign:end"
TYPES = ("variant", "send", "open", "click", "conversion")
RECEIVED = json.dumps({"filter": "received_from_campaign", "campaign": "spring"})
ALL_FACTS = [
    *[f"expired {SOURCE} {epoch}" for epoch in (1, 2)],
    f"expired {END} 1",
    *[f"restored {SOURCE} {epoch}" for epoch in (1, 2)],
    f"restored {END} 1",
]
DEADLINE_S = 120
"""Of one program: five of Java start at once, beside the other run of the tests."""


@dataclass
class Done:
    """A program that has ended."""

    code: int
    out: str
    error: str


@dataclass
class Story:
    """What there was to see."""

    missing: dict[str, str] = field(default_factory=dict)
    produced: dict[str, Done] = field(default_factory=dict)
    events: list[Located] = field(default_factory=list)
    rows: Interactions = field(default_factory=dict)
    handed_on: dict[str, int] = field(default_factory=dict)
    consumed: dict[str, list[str]] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    committed: dict[str, dict[str, int]] = field(default_factory=dict)
    asked: dict[str, Done] = field(default_factory=dict)


@dataclass
class Stage:
    """Where the story takes place."""

    settings: Settings
    folder: Path
    programs: dict[str, dict[str, Program]]

    @property
    def topics(self) -> Topics:
        """The names of its topics."""
        return Topics(self.settings.prefix)

    def env(self, **more: str) -> Mapping[str, str]:
        """The variables of a program."""
        given = {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "EMBERLINE_PREFIX": self.settings.prefix,
        }
        return environment(**{**given, **more})

    async def ran(self, program: Program, *arguments: str, **env: str) -> Done:
        """Run a program to its end."""
        running = await asyncio.create_subprocess_exec(
            *program.with_arguments(*arguments),
            cwd=program.folder,
            env=self.env(**env),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                out, error = await running.communicate()
        finally:
            with suppress(ProcessLookupError):
                running.kill()
            await running.wait()
        return Done(running.returncode or 0, out.decode(), error.decode())


class Consumer:
    """A consumer that runs; its facts are told from its first life on."""

    def __init__(self, stage: Stage, language: str) -> None:
        self.out = stage.folder / f"{language}.out"
        self.error = stage.folder / f"{language}.error"
        self._stage = stage
        self._program = stage.programs[language]["consumer"]
        self._done = stage.folder / f"{language}.done"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, group: str, **env: str) -> None:
        """Start it, for another time too, as a member of a group."""
        with self.out.open("ab") as out, self.error.open("ab") as error:
            self._process = await asyncio.create_subprocess_exec(
                *self._program.command,
                cwd=self._program.folder,
                env=self._stage.env(GROUP_ID=group, DONE_FILE=str(self._done), **env),
                stdout=out,
                stderr=error,
            )

    async def end(self) -> int:
        """End it as a supervisor does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            return await self._process.wait()

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def facts(self) -> list[str]:
        """What it has printed."""
        return self.out.read_text().splitlines() if self.out.exists() else []

    async def printed(self, *facts: str) -> None:
        """Wait until it has printed these."""

        async def all_there() -> bool:
            there = {line.partition(": ")[0] for line in self.facts()}
            return set(facts) <= there

        def said() -> str:
            return f"{self.facts()} {self.error.read_text()}"

        await until(all_there, DEADLINE_S, f"{self._program.language} prints {facts}", said)


@asynccontextmanager
async def consumers(stage: Stage) -> AsyncIterator[dict[str, Consumer]]:
    """A consumer of each language that can be tried; none is left behind."""
    made = {language: Consumer(stage, language) for language in stage.programs}
    try:
        yield made
    finally:
        for each in made.values():
            await each.kill()


async def tell(settings: Settings, folder: Path, cache: Path) -> Story:
    """Build the programs in `cache` and run them with these settings; `folder` gets their files."""
    story = Story()
    built = await asyncio.gather(
        topic_admin.create(settings),
        *[asyncio.to_thread(build, language, cache, sys.executable) for language in LANGUAGES],
        return_exceptions=True,
    )
    programs = {}
    for language, found in zip(("topics", *LANGUAGES), built, strict=True):
        if isinstance(found, Missing):
            story.missing[language] = str(found)
        elif isinstance(found, BaseException):
            raise found
        elif isinstance(found, dict):
            programs[language] = found
    stage = Stage(settings, folder, programs)
    await _aborted(stage)
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(running(settings))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        reading = await stack.enter_async_context(consumers(stage))
        await asyncio.gather(
            worker.ready(),
            *[define(settings, source, "ACTIVE", _now_ms()) for source in (SOURCE, END)],
            _produced(stage, story),
        )
        await _taken_in(stage, story, worker, session)
        for language, consumer in reading.items():
            await consumer.start(_group(language, 1))
        await _expired_and_restored(stage, story, worker, session, reading)
    story.consumed = {language: consumer.facts() for language, consumer in reading.items()}
    story.committed = await _committed(stage)
    for topic in (stage.topics.expired, stage.topics.restored):
        facts = await read_all(KafkaLog(settings), topic)
        story.last[topic] = facts[-1][2].offset
    return story


async def _aborted(stage: Stage) -> None:
    """Two expiries that never were, of one producer: a client must skip both."""
    producer = AIOKafkaProducer(
        bootstrap_servers=stage.settings.bootstrap_servers,
        transactional_id=f"{stage.settings.prefix}ghost",
    )
    await producer.start()
    try:
        for epoch in (1, 2):
            await producer.begin_transaction()
            await producer.send_and_wait(
                stage.topics.expired, expired_fact("campaign:ghost", epoch)
            )
            await producer.abort_transaction()
    finally:
        await producer.stop()


def _send(user: str, source: str) -> bytes:
    campaign = source.removeprefix("campaign:")
    return codec.encode(
        "send", {"id": user, "user_id": user, "time": _now_ms(), "campaign_id": campaign}
    )


async def sent(
    settings: Settings,
    topic: str,
    value: bytes,
    key: bytes | None = None,
    partition: int | None = None,
) -> None:
    """Send one record."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key=key, partition=partition)
    finally:
        await producer.stop()


def _now_ms() -> int:
    return int(time.time() * 1000)


def expired_fact(source: str, epoch: int) -> bytes:
    """The record of an expiry."""
    return codec.encode(
        "expired",
        {"event_id": "x", "source": source, "epoch": epoch, "expired_at": 1, "reason": "operator",
         "interactions": 0, "bytes": 0, "segments": 0, "checksum": ""},
    )  # fmt: skip


async def _produced(stage: Stage, story: Story) -> None:
    async def one(language: str, programs: dict[str, Program]) -> None:
        story.produced[language] = await stage.ran(programs["producer"], "spring", *USERS)

    await asyncio.gather(*[one(*each) for each in stage.programs.items()])


async def _taken_in(
    stage: Stage, story: Story, worker: Process, session: aiohttp.ClientSession
) -> None:
    """The events are in the hot table; then one more comes by another partition than its user's."""
    names = [f"{stage.settings.prefix}interactions.{name}" for name in TYPES]
    log = KafkaLog(stage.settings)
    for name in names:
        story.events += await read_all(log, name)
    wanted = expect(decoded(story.events))

    async def rows(count: int) -> None:
        async def there() -> bool:
            async with session.get(f"{worker.url}/sources/{SOURCE}/interactions") as answer:
                lines = [json.loads(line) for line in (await answer.text()).splitlines()]
            complete = answer.status == 200 and lines and lines[-1].get("complete")
            found = lines[:-1] if complete else []
            story.rows = {row_key(row): (row["first"], row["last"]) for row in found}
            return len(story.rows) == count

        await until(there, DEADLINE_S, f"{count} rows", lambda: f"{story.rows} {worker.tail()}")

    async def handed_on() -> int:
        partitions = [(stage.topics.repartition, p) for p in range(PARTITIONS)]
        return sum(end for _, end in (await log.admin.bounds(partitions)).values())

    await rows(len(wanted))
    story.handed_on["before"] = await handed_on()
    elsewhere = (partition_of_user("astray", PARTITIONS) + 1) % PARTITIONS
    await sent(stage.settings, names[1], _send("astray", SOURCE), b"astray", elsewhere)
    await sent(stage.settings, names[1], _send("last", END), b"last")
    await rows(len(wanted) + 1)
    story.handed_on["after"] = await handed_on()


def decoded(events: list[Located]) -> list[tuple[str, dict[str, Any]]]:
    """Events with the names of their types."""
    names = [(topic.rpartition(".")[2], record.value or b"") for topic, _, record in events]
    return [(name, codec.decode(value, name)) for name, value in names]


async def _expired_and_restored(
    stage: Stage,
    story: Story,
    worker: Process,
    session: aiohttp.ClientSession,
    reading: dict[str, Consumer],
) -> None:
    async def expire(source: str) -> None:
        await define(stage.settings, source, "STOPPED", _now_ms())

        async def stopped() -> bool:
            async with session.get(f"{worker.url}/sources/{source}") as answer:
                return answer.status == 200 and (await answer.json())["state"] == "STOPPED"

        await until(stopped, DEADLINE_S, f"{source} is stopped", worker.tail)
        async with session.post(f"{worker.url}/sources/{source}/expire", json={}) as answer:
            assert answer.status in (200, 202), await answer.text()

    async def ask(language: str, key: str, *arguments: str) -> None:
        if language in stage.programs:
            program = stage.programs[language]["audience"]
            story.asked[f"{language} {key}"] = await stage.ran(
                program, RECEIVED, *arguments, WORKER_URL=worker.url
            )

    async def restored(*sources: str) -> None:
        async with session.post(f"{worker.url}/restores", json={"sources": sources}) as answer:
            assert answer.status == 202, await answer.text()

    async def seen(*facts: str) -> None:
        await asyncio.gather(*[consumer.printed(*facts) for consumer in reading.values()])

    await asyncio.gather(*[ask(language, "hot") for language in ("python", "javascript")])
    await expire(SOURCE)
    await seen(f"expired {SOURCE} 1")
    for language in ("python", "javascript"):
        await asyncio.gather(ask(language, "refused"), ask(language, "left out", "exclude"))
    await ask("python", "restored", "restore")
    await seen(f"restored {SOURCE} 1")
    # a crash; then it reads all again, as another group, and one fact is told again
    await sent(stage.settings, stage.topics.expired, expired_fact(SOURCE, 1))
    for language, consumer in reading.items():
        await consumer.kill()
        await consumer.start(_group(language, 2))
    await expire(SOURCE)
    await expire(END)
    await seen(f"expired {SOURCE} 2")
    await ask("javascript", "restored", "restore")
    await restored(SOURCE, END)
    await seen(*ALL_FACTS)
    ends = await asyncio.gather(*[consumer.end() for consumer in reading.values()])
    story.exits = dict(zip(reading, ends, strict=True))


def _group(language: str, life: int) -> str:
    return f"{language}-{life}"


async def _committed(stage: Stage) -> dict[str, dict[str, int]]:
    """What the group of each consumer has committed, by topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.settings.bootstrap_servers)
    await admin.start()
    try:
        found = {}
        for language in stage.programs:
            offsets = await admin.list_consumer_group_offsets(_group(language, 2))
            found[language] = {each.topic: one.offset for each, one in offsets.items()}
        return found
    finally:
        await admin.close()

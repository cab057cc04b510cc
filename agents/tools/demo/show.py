"""The demo from start to end: broker, topics, worker, the acts, and the shutdown of everything."""

import asyncio
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.tools.demo.expiry_act import expire, stop
from agents.tools.demo.facts import Facts
from agents.tools.demo.ingest_act import ingest
from agents.tools.demo.restore_act import restore
from agents.tools.demo.scenario import Scenario
from agents.tools.demo.screen import Screen
from agents.tools.demo.worker import DemoWorker
from agents.tools.oracle import Interactions
from schemas.errors import EmberlineError
from schemas.words.plural import plural
from streams.devbroker.broker import LocalBroker
from streams.kafka import clients
from streams.kafka import topics as topic_admin
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["OWN_SETTINGS", "Stage", "demo_settings", "play"]

READY_S = 60.0
_DELETE_S = 60.0
OWN_SETTINGS: dict[str, Any] = {
    "partitions": 4,
    "retention": "PT20S",
    "sweep_interval": "PT1S",
    "sweep_confirm_share": 1.0,
    "http_port": 0,
}
"""The demo's own values of settings that were not given."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The addresses and processes that remain with --keep, and the names of the sources."""

    settings: Settings
    url: str
    worker_pid: int
    broker_pid: int | None
    log: Path
    names: Mapping[str, str]
    """Source -> name."""


def demo_settings(settings: Settings) -> Settings:
    """The given settings with the demo's short periods and a new prefix."""
    own = {n: v for n, v in OWN_SETTINGS.items() if settings.origins[n] == "default"}
    # its records carry the ids of registry.json, whatever registry others use
    own["schema_registry_url"] = ""
    own["kafka_security"] = "plaintext"  # as its broker's
    return replace(settings, **own, prefix=f"demo-{uuid.uuid4().hex[:8]}.")


async def play(
    given: Settings,
    make_scenario: Callable[[int], Scenario],
    screen: Screen,
    *,
    keep: bool,
    failed: Callable[[str], None],
) -> tuple[Facts, Stage]:
    """Run all acts. After an error, `failed` gets the end of the worker's log.

    Raises the error; false claims are in the facts.
    """
    start = time.monotonic()
    facts = Facts()
    settings = demo_settings(given)
    async with AsyncExitStack() as stack:
        screen.act("A Kafka broker, its topics and a worker")
        broker = LocalBroker(given.data_dir / "broker", keep=keep, say=screen.line)
        await stack.enter_async_context(broker)
        folder = Path(tempfile.mkdtemp(prefix="emberline-demo-"))
        settings = replace(
            settings,
            bootstrap_servers=broker.bootstrap_servers,
            data_dir=folder / "data",
            keys_file=folder / "keys.json",
        )
        if not keep:
            stack.push_async_callback(_clear, settings, folder)
        screen.line(f"Kafka at {broker.bootstrap_servers} ({broker.how})")
        making = asyncio.create_task(asyncio.to_thread(make_scenario, settings.partitions))
        await topic_admin.create(settings)
        worker = DemoWorker(settings, folder, keep=keep)
        await stack.enter_async_context(worker)
        try:
            scenario = await making
            await worker.ready(READY_S)
            shards = plural(settings.partitions, "shard")
            screen.line(f"worker {worker.pid} at {worker.url}, {settings.partitions} {shards}")
            await _acts(settings, scenario, worker, facts, screen)
        except EmberlineError:
            failed(worker.last_lines())
            raise
        pids = worker.pid, broker.pid
        stage = Stage(settings, worker.url, *pids, worker.log, scenario.names)
        facts.seconds = time.monotonic() - start
    return facts, stage


async def _acts(
    settings: Settings, scenario: Scenario, worker: DemoWorker, facts: Facts, screen: Screen
) -> None:
    topics = Topics(settings.prefix)
    lifecycle = [topics.expired, topics.restored]
    async with TopicReader.open(KafkaLog(settings), lifecycle, from_end=True) as reader:
        await ingest(settings, scenario, worker, facts, screen)
        before: Interactions = {}
        for source in scenario.roles.restored:
            before |= await worker.rows(source)
        await stop(settings, scenario, worker, facts, screen)
        await expire(settings, scenario, reader, worker, facts, screen)
        await restore(settings, scenario, reader, worker, before, facts, screen)


async def _clear(settings: Settings, folder: Path) -> None:
    """Delete the demo's topics from the broker, which may be shared, and its files."""
    admin = clients.admin(settings, settings.client_id, _DELETE_S)
    try:
        await admin.start()
        await admin.delete_topics(list(Topics(settings.prefix).all()))
    finally:
        await admin.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

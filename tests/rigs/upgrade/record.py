"""Writes the fixture of the upgrade test with the worker of another checkout.

    python -m tests.rigs.upgrade.record CHECKOUT BOOTSTRAP_SERVERS [FOLDER]

CHECKOUT is a work tree of the commit f04fdb3 with its `.venv`. Its own code publishes a history,
runs the worker, expires two sources and restores one of them. The worker's answers, all its topics
with their offsets, and its local stores go to FOLDER.
"""

import asyncio
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.tools.process import environment_of
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.upgrade import deployment as place
from tests.rigs.upgrade.replay import remove_topics

PUBLISH = """
import asyncio, importlib, random
from agents.publish import publish
from streams import topics as topic_admin
from streams.settings import load
from tests.agents import day
from tests.agents.filters import histories

history = importlib.import_module("tests.agents.test_audience")._history

async def main():
    settings = load()
    await topic_admin.create(settings)
    known, events = history()
    random.Random(4).shuffle(events)
    await publish(settings, [day.definitions(known)])
    await publish(settings, [day.users(known.roster, ["deleted"], ["merged"])])
    await publish(settings, day.chunks(events))

asyncio.run(main())
"""
ASK = """
import asyncio, sys
from agents.operator_requests import ask, command
from streams.settings import load

async def main():
    for one in sys.argv[1:]:
        kind, source = one.split("=")
        answer = await ask(load(), command(kind, (source,), reason="upgrade"), patience_s=120)
        assert not answer.bad, answer.bad

asyncio.run(main())
"""
DEADLINE_S = 180.0
STORES = "stores.tar.gz"


class Former:
    """The other checkout: programs and a worker of its code."""

    def __init__(self, checkout: Path, settings: Settings) -> None:
        self._python = str(checkout / ".venv" / "bin" / "python")
        self._checkout = checkout
        known = ["bootstrap_servers", "prefix", "partitions", "data_dir", "keys_file", "http_port"]
        known += ["retention", "delta_rows", "segment_rows", "own_rows"]
        environment = environment_of(settings)
        self._environment = {
            name: value
            for name, value in environment.items()
            if not name.startswith("EMBERLINE_") or name[10:].lower() in known
        } | {"PYTHONPATH": str(checkout)}

    def run(self, program: str, *arguments: str) -> None:
        """Run a program to its end. Raises CalledProcessError."""
        subprocess.run([self._python, "-c", program, *arguments], env=self._environment,
                       cwd=self._checkout, check=True, timeout=DEADLINE_S)  # fmt: skip

    def worker(self) -> "subprocess.Popen[bytes]":
        """Start its worker; the first line that it prints has its address."""
        main = "from agents.cli import main; main()"
        return subprocess.Popen([self._python, "-c", main, "worker", "--json"],
                                env=self._environment, cwd=self._checkout,
                                stdout=subprocess.PIPE)  # fmt: skip


async def settled(session: aiohttp.ClientSession, address: str) -> None:
    """Wait until all sources are known, and nothing is waited for."""
    async with asyncio.timeout(DEADLINE_S):
        quiet = 0
        while quiet < 5:
            async with session.get(f"{address}/status") as answer:
                found = await answer.json()
            idle = not any(lag for shard in found["shards"] for lag in shard["lag"].values())
            known = sum(found["sources"].values()) == len(place.SOURCES)
            quiet = quiet + 1 if found["ready"] and idle and known else 0
            await asyncio.sleep(0.5)


async def records(settings: Settings) -> tuple[pl.DataFrame, dict[str, dict[int, list[int]]]]:
    """Every committed record of every topic, and where each partition begins and ends."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers,
                                isolation_level="read_committed",
                                enable_auto_commit=False)  # fmt: skip
    await consumer.start()
    found: list[tuple[Any, ...]] = []
    spans: dict[str, dict[int, list[int]]] = {}
    try:
        for name in Topics("").all():
            topic = settings.prefix + name
            numbers = consumer.partitions_for_topic(topic) or await _numbers(consumer, topic)
            parts = [TopicPartition(topic, number) for number in sorted(numbers)]
            consumer.assign(parts)
            begin, end = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
            await consumer.seek_to_beginning(*parts)
            spans[name] = {p.partition: [begin[p], end[p]] for p in parts}
            while any([await consumer.position(p) < end[p] for p in parts]):
                for part, read in (await consumer.getmany(timeout_ms=200)).items():
                    found += [
                        (name, part.partition, one.offset, one.timestamp, one.key, one.value,
                         [{"name": key, "value": value} for key, value in one.headers])
                        for one in read
                    ]  # fmt: skip
    finally:
        await consumer.stop()
    headers = pl.List(pl.Struct({"name": pl.String, "value": pl.Binary}))
    schema: dict[str, Any] = {
        "topic": pl.String,
        "partition": pl.Int32,
        "offset": pl.Int64,
        "time": pl.Int64,
        "key": pl.Binary,
        "value": pl.Binary,
        "headers": headers,
    }
    frame = pl.DataFrame(found, schema=schema, orient="row")
    return frame.sort("topic", "partition", "offset"), spans


async def _numbers(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.set_topics([topic])
    return set(consumer._client.cluster.partitions_for_topic(topic))


async def record(checkout: Path, broker: str, target: Path) -> None:
    """Write the whole fixture."""
    with tempfile.TemporaryDirectory() as folder:
        settings = place.settings(broker, Path(folder))
        former = Former(checkout, settings)
        await remove_topics(settings)
        former.run(PUBLISH)
        worker = former.worker()
        assert worker.stdout is not None
        try:
            address = json.loads(worker.stdout.readline())["address"]
            async with aiohttp.ClientSession() as session:
                await settled(session, address)
                before = await place.rows(session, address, place.EXPIRED)
                former.run(ASK, f"expire={place.RESTORED}", f"expire={place.EXPIRED}",
                           f"restore={place.RESTORED}")  # fmt: skip
                await settled(session, address)
                told = await place.answers(session, address)
            told["rows before expiry"] = before
        finally:
            worker.terminate()
            worker.wait(60)
        frame, spans = await records(settings)
        frame.write_parquet(target / "records.parquet", compression="zstd", compression_level=19)
        (target / "spans.json").write_text(json.dumps(spans, indent=1) + "\n")
        (target / "answers.json").write_text(json.dumps(told, indent=1) + "\n")
        with tarfile.open(target / STORES, "w:gz") as tar:
            tar.add(settings.data_dir, "data", filter=_kept)


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The files that a store needs, without logs and locks, and without names of users."""
    name = Path(member.name).name
    if name.startswith("LOG") or name in ("LOCK", "worker.lock", "lock"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main(arguments: Sequence[str]) -> None:
    """Read the command line, and write the fixture."""
    checkout, broker, *more = arguments
    target = Path(*more) if more else place.FIXTURE
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(record(Path(checkout).resolve(), broker, target))


if __name__ == "__main__":
    main(sys.argv[1:])

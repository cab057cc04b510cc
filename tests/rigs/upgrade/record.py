"""Records the files of a release: what its own programs write is kept for the tests of later ones.

    python -m tests.rigs.upgrade.record CHECKOUT BOOTSTRAP_SERVERS FOLDER

CHECKOUT is a work tree of the release's commit with its `.venv`; FOLDER is `tests/releases/` and
the version. Its commands import a history (`tests/rigs/upgrade/history.py`), its worker folds it,
two sources expire and one comes back, a source is held, a user is erased, and mail waits for a
server that is not there. All topics with their offsets, the worker's answers, and its data folder
with an import's journal, a keys file and an erasure key go to FOLDER.
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
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.tools.process import environment_of
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.upgrade import deployment as place
from tests.rigs.upgrade import history
from tests.rigs.upgrade.replay import remove_topics

DEADLINE_S = 180.0
STORES = "stores.tar.gz"
_MAIN = "from agents.cli import main; main()"
FORMATS = """
import json
from schemas.records.registry import NAMES, schema_id
from streams.state import changelog
try:
    from streams.kafka.stored_format import FORMAT
except ImportError:
    FORMAT = 1  # 0.1.0 has no number for it
schemas = {name: schema_id(name) for name in NAMES}
print(json.dumps({"format": FORMAT, "changelog": changelog.FORMAT, "schemas": schemas}))
"""
_GIVEN = ["bootstrap_servers", "prefix", "partitions", "data_dir", "keys_file", "http_port"]
_GIVEN += ["erasure_key_file", "retention", "delta_rows", "segment_rows", "own_rows"]


class Former:
    """The other checkout: commands and a worker of its code."""

    def __init__(self, checkout: Path, settings: Settings) -> None:
        self._python = str(checkout / ".venv" / "bin" / "python")
        self._checkout = checkout
        environment = environment_of(settings)
        self._environment = {
            name: value
            for name, value in environment.items()
            if not name.startswith("EMBERLINE_") or name[10:].lower() in _GIVEN
        } | {
            "PYTHONPATH": str(checkout),
            # nothing listens there: mail waits
            "EMBERLINE_NOTIFY_TO": "operators@example.com",
            "EMBERLINE_SMTP_HOST": "127.0.0.1",
            "EMBERLINE_SMTP_PORT": "1",
            "EMBERLINE_SMTP_TLS": "none",
        }

    def run(self, *arguments: str, **variables: str) -> None:
        """Run a command to its end. Raises CalledProcessError."""
        subprocess.run([self._python, "-c", _MAIN, *arguments],
                       env=self._environment | variables, cwd=self._checkout, check=True,
                       stdout=subprocess.DEVNULL, timeout=DEADLINE_S)  # fmt: skip

    def formats(self) -> dict[str, Any]:
        """The numbers of its formats, and of the schema of each record."""
        done = subprocess.run([self._python, "-c", FORMATS], env=self._environment,
                              cwd=self._checkout, check=True, capture_output=True, text=True,
                              timeout=DEADLINE_S)  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def worker(self) -> "subprocess.Popen[bytes]":
        """Start its worker; the first line that it prints has its address."""
        return subprocess.Popen([self._python, "-c", _MAIN, "worker", "--json"],
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


async def _misplace(settings: Settings) -> None:
    """Events in the partition of another shard, and one that nobody can read."""
    topic = Topics(settings.prefix).events["send"]
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    try:
        for partition, key, value in history.misplaced():
            await producer.send_and_wait(topic, value, key=key, partition=partition)
        await producer.send_and_wait(topic, history.GARBAGE, key=b"u0", partition=1)
    finally:
        await producer.stop()


async def record(checkout: Path, broker: str, target: Path) -> None:
    """Write all files."""
    with tempfile.TemporaryDirectory() as folder:
        settings = place.settings(broker, Path(folder))
        settings.data_dir.mkdir()
        former = Former(checkout, settings)
        await remove_topics(settings)
        former.run("topics", "create")
        former.run("keys", "erasure")
        kept = settings.data_dir / "keys.json"  # the worker serves without keys
        former.run("keys", "add", "operator", "--scope", "operate", EMBERLINE_KEYS_FILE=str(kept))
        for kind, file in history.write(Path(folder)):
            former.run("import", "--event", kind, str(file))
        former.run("send", "user", "--delete", "deleted")
        await _misplace(settings)
        worker = former.worker()
        assert worker.stdout is not None
        try:
            address = json.loads(worker.stdout.readline())["address"]
            async with aiohttp.ClientSession() as session:
                await settled(session, address)
                former.run("erase", "u-erased", "--yes", "--reason", "upgrade")
                before = await place.rows(session, address, place.EXPIRED)
                for kind, source in (
                    ("expire", place.RESTORED),
                    ("expire", place.EXPIRED),
                    ("restore", place.RESTORED),
                    ("hold", place.SOURCES[0]),
                ):
                    former.run(kind, source, "--reason", "upgrade")
                await settled(session, address)
                told = await place.answers(session, address)
            told["rows before expiry"] = before
        finally:
            worker.terminate()
            worker.wait(60)
        frame, spans = await records(settings)
        frame.write_parquet(target / "records.parquet", compression="zstd", compression_level=19)
        (target / "spans.json").write_text(json.dumps(spans, indent=1) + "\n")
        answers = json.dumps(told, separators=(",", ":"))
        (target / "answers.json").write_text(answers + "\n")
        facts = {"commit": _commit(checkout), **former.formats()}
        (target / "formats.json").write_text(json.dumps(facts, indent=1) + "\n")
        with tarfile.open(target / STORES, "w:gz") as tar:
            tar.add(settings.data_dir, "data", filter=_kept)


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The files that a store needs, without logs and locks, and without names of users."""
    name = Path(member.name).name
    if name.startswith("LOG") or name in ("LOCK", "worker.lock", "lock", "keys.json.lock"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main(arguments: Sequence[str]) -> None:
    """Read the command line, and write the files."""
    checkout, broker, target = arguments
    Path(target).mkdir(parents=True, exist_ok=True)
    asyncio.run(record(Path(checkout).resolve(), broker, Path(target)))


if __name__ == "__main__":
    main(sys.argv[1:])

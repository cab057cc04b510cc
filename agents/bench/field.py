"""The field a run takes place on: a broker, a fresh prefix, its topics, a folder of its own."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from agents.bench.process import environment
from streams import topics as topic_admin
from streams.broker import LocalBroker
from streams.offsets import bounds
from streams.settings import Settings, describe, load
from streams.topics import Topics

__all__ = ["Field", "broker", "field", "free_port"]

_REQUEST_MS = 60_000


@dataclass(frozen=True, slots=True)
class Field:
    """`settings` of the worker of this run, and `folder`, where its logs and stores lie."""

    settings: Settings
    folder: Path

    @property
    def topics(self) -> Topics:
        """The names of this run's topics."""
        return Topics(self.settings.prefix)

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a child with these settings, and `variables` over them."""
        return environment_of(self.settings) | variables

    async def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The end offset of every partition of `topics`, as read_committed readers see it."""
        shards = range(self.settings.partitions)
        found = await bounds(self.settings, [(topic, p) for topic in topics for p in shards])
        return {partition: end for partition, (_, end) in found.items()}


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a child loads exactly these settings."""
    return environment(
        **{f"EMBERLINE_{line.name.upper()}": line.value for line in describe(settings)}
    )


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """The address of the broker to measure on: KAFKA_BOOTSTRAP_SERVERS, or one of our own."""
    with LocalBroker(folder) as local:
        yield local.bootstrap_servers


@asynccontextmanager
async def field(bootstrap: str, partitions: int, **flags: object) -> AsyncIterator[Field]:
    """Make a field; when left, its topics are deleted and its folder is removed."""
    folder = Path(tempfile.mkdtemp(prefix="emberline-bench-"))
    given = {
        "bootstrap_servers": bootstrap,
        "prefix": f"bench-{uuid.uuid4().hex[:10]}.",
        "partitions": partitions,
        "http_port": free_port(),
        "data_dir": folder / "data",
    }
    settings = load(given | flags, env={}, file=folder / "none.toml")
    try:
        await topic_admin.create(settings)
        yield Field(settings, folder)
    finally:
        await _delete(settings)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _delete(settings: Settings) -> None:
    """Delete every topic of the prefix, the peers' changelogs too."""
    marks = (settings.prefix, settings.prefix.replace(".", "-"))
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.bootstrap_servers, request_timeout_ms=_REQUEST_MS
    )
    # a broker that has gone has nothing to clean up
    with contextlib.suppress(OSError):
        await admin.start()
        try:
            names = [n for n in await admin.list_topics() if any(mark in n for mark in marks)]
            if names:
                await admin.delete_topics(names)
        finally:
            await admin.close()

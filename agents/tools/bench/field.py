"""The environment of a run: a broker, a new prefix, its topics, a folder."""

import asyncio
import contextlib
import dataclasses
import shutil
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.tools.process import environment_of
from streams import erasure_key
from streams.devbroker.broker import LocalBroker
from streams.kafka import clients
from streams.kafka import topics as topic_admin
from streams.kafka.offsets import bounds
from streams.kafka.topics import Topics
from streams.settings import Settings, load

__all__ = ["Field", "Ground", "field", "free_port", "ground"]

_REQUEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Field:
    """`settings` of the worker of this run, `folder` with its logs and stores, and `watch`: the
    settings of who only looks on.
    """

    settings: Settings
    folder: Path
    watch: Settings

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


@dataclass(frozen=True, slots=True)
class Ground:
    """The base of all runs: a broker's address, and the settings that a person has chosen.

    `watch` is another address of the same broker, for who only looks on; plain connections.
    """

    bootstrap: str
    chosen: Mapping[str, object] = dataclasses.field(default_factory=dict)
    watch: str | None = None


@contextmanager
def ground(settings: Settings, say: Callable[[str], None]) -> Iterator[Ground]:
    """The base for `settings`: their broker, or a new local one if they name none.

    Settings that every run creates anew (prefix, port, data folder) are ignored.
    """
    anew = {"bootstrap_servers", "prefix", "http_port", "data_dir", "keys_file", "erasure_key_file"}
    chosen = {
        name: getattr(settings, name)
        for name, origin in settings.origins.items()
        if origin != "default" and name not in anew
    }
    if settings.origins["bootstrap_servers"] != "default":
        yield Ground(settings.bootstrap_servers, chosen)
        return
    folder = Path(tempfile.mkdtemp(prefix="emberline-broker-"))
    try:
        with LocalBroker(folder, say=say) as local:
            # which is not secured
            plain = {name: one for name, one in chosen.items() if not name.startswith("kafka_")}
            yield Ground(local.bootstrap_servers, plain)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def field(where: Ground, partitions: int) -> AsyncIterator[Field]:
    """Create a run's environment; at the end its topics are deleted and its folder is removed.

    After an error the folder stays, because it has the logs that the error names.
    """
    folder = Path(tempfile.mkdtemp(prefix="emberline-bench-"))
    given = {
        "bootstrap_servers": where.bootstrap,
        "prefix": f"bench-{uuid.uuid4().hex[:10]}.",
        "partitions": partitions,
        "http_port": free_port(),
        "data_dir": folder / "data",
        "keys_file": folder / "keys.json",
        "erasure_key_file": folder / "erasure.key",
    }
    none = folder / "none.toml"
    settings = load({**given, **where.chosen, "schema_registry_url": ""}, env={}, file=none)
    watch = settings
    if where.watch is not None:
        watch = load({**given, "bootstrap_servers": where.watch}, env={}, file=none)
    erasure_key.make(settings.erasure_key_file)
    try:
        await topic_admin.create(settings)
        yield Field(settings, folder, watch)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    finally:
        await _delete(settings)


def free_port() -> int:
    """A port that is not in use at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _delete(settings: Settings) -> None:
    """Delete every topic of the prefix, including the peers' changelogs."""
    marks = (settings.prefix, settings.prefix.replace(".", "-"))
    admin = clients.admin(settings, settings.client_id, _REQUEST_S)
    # a broker that has gone has nothing to clean up
    with contextlib.suppress(OSError):
        await admin.start()
        try:
            names = [n for n in await admin.list_topics() if any(mark in n for mark in marks)]
            if names:
                await admin.delete_topics(names)
        finally:
            await admin.close()

"""A worker's web server on dummy shards, with requests over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from agents.http.connections import ConnectionLimits, Runner, listen
from agents.scatter.context import WorkerContext
from agents.supervision.shard_manager import ShardManager
from agents.supervision.topic_watch import TopicWatch
from agents.views.catalog_view import CatalogEntry
from agents.views.request_view import RequestView
from agents.web.server import routes
from schemas.records.lifecycle import SourceState, State
from streams.group.shard_plan import Directory
from streams.kafka.environment import Environment
from streams.settings import Settings, load
from tests.rigs.desk import Desk
from tests.rigs.dummies import DummyShard, States, rows
from tests.rigs.paper import PaperLog

A = "campaign:a"

JSON = {"Content-Type": "application/json"}

SHARDS = 4


class Site:
    """One worker's web server, and what it stands on."""

    def __init__(
        self,
        settings: Settings,
        partitions: set[int],
        *records: SourceState,
        desk: Desk | None = None,
    ) -> None:
        self.states = States(*records)
        self.shards = {p: DummyShard(p) for p in partitions}
        self.manager = SimpleNamespace(
            shards=self.shards,
            generation=3,
            directory=Directory(),
            coordinates=0 in partitions,
            in_touch=True,
            check_in_touch=lambda: None,
        )
        self.requests = RequestView()
        self.requests.caught_up.set()
        self.paper = PaperLog(desk or Desk(partitions=settings.partitions), self.requests)
        self.context = WorkerContext(
            settings,
            cast(ShardManager, self.manager),
            self.states,
            TopicWatch(Environment(settings, self.paper)),
            kafka=self.paper,
            requests=self.requests,
        )
        for shard in self.shards.values():
            shard.ready = True
            shard.versions[A] = 1
            shard.frames = [rows(A, f"u{shard.partition}-{n}") for n in range(3)]

    def path(self, rest: str = "/interactions") -> str:
        return f"{self.context.address}/sources/{A}{rest}"


@asynccontextmanager
async def serving(*sites: Site) -> AsyncIterator[aiohttp.ClientSession]:
    async with AsyncExitStack() as stack:
        for site in sites:
            app = web.Application()
            routes(app, site.context)
            tls = site.context.tls
            runner = Runner(
                app,
                ConnectionLimits.of(site.context.settings),
                shutdown_s=1.0,
                context=None if tls is None else tls.present,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.push_async_callback(site.context.peers.close)
            stack.push_async_callback(site.context.largest.close)
            await listen(runner, "127.0.0.1", 0)
            scheme = "http" if tls is None else "https"
            site.context.address = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        where = {p: site.context.address for site in sites for p in site.shards}
        for site in sites:
            site.manager.directory = Directory(where, where.get(0, ""))
        yield await stack.enter_async_context(aiohttp.ClientSession())


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    return load({"partitions": SHARDS, "data_dir": tmp_path}, env={}, file=tmp_path / "none")


def active(**more: Any) -> SourceState:
    return SourceState(A, State.ACTIVE, 1, **more)


def two(settings: Settings) -> tuple[Site, Site]:
    return Site(settings, {0, 2}, active()), Site(settings, {1, 3}, active())


def one_recovers(first: Site, second: Site) -> None:
    second.shards[3].ready = False


def one_is_gone(first: Site, second: Site) -> None:
    del second.shards[3]


def another_version(first: Site, second: Site) -> None:
    second.shards[1].versions[A] = 2


def another_generation(first: Site, second: Site) -> None:
    second.manager.generation = 4


SPOILS = (one_recovers, one_is_gone, another_version, another_generation)
"""What may happen to one of `two` while both serve, so that not all shards answer."""


async def raw(site: Site, request: str) -> tuple[int, Any]:
    """Send a request as it stands; the status and the JSON of its answer."""
    host, port = site.context.address.removeprefix("http://").split(":")
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    return int(head.split()[1]), json.loads(body)


SORT = ["received", "EMAIL", None, "v1"]

DAY = 20_370


def define(site: Site, key: str, **facts: Any) -> None:
    record = {"key": key, "kind": key.partition(":")[0], "name": key, "status": "ACTIVE"} | facts
    site.context.catalog.put(CatalogEntry.from_record(record))


def settings(folder: Path, **more: Any) -> Settings:
    flags = {"partitions": SHARDS, "data_dir": folder, "keys_file": folder / "none", **more}
    return load(flags, env={}, file=folder / "none")

"""The Faust app of a worker: group, assignment, ingest agent, timers, web server."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.types import ChannelT, StreamT
from mode import ServiceT

from agents.scatter.context import WorkerContext
from agents.supervision.shard_manager import Actors, Shard, ShardManager
from agents.web.server import Web
from agents.worker.member import member_of, subscribed
from streams.group.membership import Membership
from streams.group.transport import SCHEME
from streams.settings import Settings

__all__ = ["App", "build_app"]

TELL_OFFSETS_S = 5.0
# whole fetched batches; each shard bounds the bytes of its own
CHANNEL_BATCHES = 64


@dataclass(frozen=True, slots=True)
class _Handover:
    """Fetched batches on their way through the ingest agent to the shard that fetched them."""

    shard: Shard
    fetched: object


class _Boot(BootStrategy):
    """Which of Faust's services start: no producer, no tables, no cache."""

    enable_kafka_producer = False

    def tables(self) -> Iterable[ServiceT]:
        """None: shards keep their own state."""
        return []

    def web_components(self) -> Iterable[ServiceT]:
        """None."""
        return []


class App(faust.App):
    """A Faust app that holds shards instead of tables. Made by `build_app`."""

    BootStrategy = _Boot
    # the worker itself says what matters of its start and end
    mundane_level = "debug"

    manager: ShardManager
    membership: Membership
    context: WorkerContext

    async def on_first_start(self) -> None:
        """Make no folders: shards keep theirs in `data_dir`."""

    async def on_start(self) -> None:
        """Let the conductor subscribe at once: otherwise it waits for tables that do not exist."""
        await super().on_start()
        self.manager.start()
        tables: Any = self.tables
        tables._tables_registered.set()

    async def on_stop(self) -> None:
        """Shards release their resources before the worker leaves the group, so that their
        successors start at once. The worker leaves before its web server ends, which gives answers
        some time.
        """
        self.context.events.close()
        await self.manager.stop()
        if self._consumer is not None:
            await self._consumer.stop()
        await super().on_stop()

    async def _stop_consumer(self) -> None:
        """Nothing to drain."""

    async def _producer_flush(self, logger: Any) -> None:
        """No producer to flush."""

    def _new_web(self) -> Web:
        return Web(self, self.context)


def build_app(
    settings: Settings,
    actors: Actors,
    make_context: Callable[[ShardManager], WorkerContext],
    *,
    on_failed: Callable[[BaseException], None],
    on_held: Callable[[int], None] = lambda shards: None,
) -> App:
    """The app of one worker, not started yet; call it in the loop that will run it.

    `on_failed` gets every error that must end the process. `on_held` gets the number of assigned
    shards, before they start.
    """
    app = App(
        settings.group_id,
        broker=[f"{SCHEME}://{server}" for server in settings.bootstrap_servers.split(",")],
        broker_client_id=settings.client_id,
        datadir=str(settings.data_dir),
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=True,
    )
    app.topics.add(app.topic(*subscribed(settings)))
    deliver = _ingest_agent(app, on_failed)
    member = member_of(
        settings,
        actors,
        make_context,
        deliver=deliver,
        on_failed=on_failed,
        on_held=on_held,
    )
    app.manager, app.membership, app.context = member.manager, member.membership, member.context
    app.timer(TELL_OFFSETS_S)(_tell_offsets(app))
    return app


def _ingest_agent(
    app: App, on_failed: Callable[[BaseException], None]
) -> Callable[[Shard, object], Awaitable[None]]:
    """Define the agent; return the function that sends a shard's fetched batches to it."""
    channel: ChannelT[Any] = app.channel(maxsize=CHANNEL_BATCHES)

    async def ingest(handovers: StreamT[Any]) -> None:
        async for handover in handovers:
            try:
                await handover.shard.offer(handover.fetched)
            except Exception as error:
                # Faust would log it and go on to the next batch
                on_failed(error)

    app.agent(channel, name="ingest")(ingest)

    async def deliver(shard: Shard, fetched: object) -> None:
        # as it is: an event of Faust's would need a message, with an offset to acknowledge
        await channel.put(_Handover(shard, fetched))  # type: ignore[arg-type]

    return deliver


def _tell_offsets(app: App) -> Callable[[], Awaitable[None]]:
    async def tell_offsets() -> None:
        """Cursors as group offsets: for tools that show lag."""
        offsets = {
            (topic, partition): offset
            for partition, shard in app.manager.shards.items()
            if shard is not None and shard.ready
            for topic, offset in shard.status.cursor.items()
        }
        if offsets:
            await app.membership.tell_offsets(offsets)

    return tell_offsets

"""One process of a simulated worker: the real actors, put together as by the worker's process."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agents.notify.notifier import Send
from agents.supervision.shard_manager import Shard
from agents.worker.app import CHANNEL_BATCHES
from agents.worker.assembly import assemble
from agents.worker.member import Member, member_of
from streams.kafka.environment import Environment
from streams.settings import Settings
from tests.sim.group import Link, SimGroup
from tests.sim.loop import SimLoop
from tests.sim.peers import PeerNet, SimPeers

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

__all__ = ["Process"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Process:
    """Runs until it is killed, told to stop, or failed. `name` is that of its context in the loop;
    `folder` its local stores.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: Environment,
        loop: SimLoop,
        group: SimGroup,
        net: PeerNet,
        address: str,
        send: Send,
    ) -> None:
        self.name = name
        self.folder = folder
        self.address = address
        self.failed: BaseException | None = None
        self.ended = False
        #: How long `lifecycle.state` was when the process began.
        self.states_at_start = 0
        self._environment = environment
        self._loop = loop
        self._group = group
        self._net = net
        self._send = send
        self._stopping = asyncio.Event()
        self._member: Member | None = None

    @property
    def settings(self) -> Settings:
        """Its own: they differ in the folder."""
        return self._environment.settings

    @property
    def member(self) -> Member:
        """Its parts, once it runs."""
        assert self._member is not None
        return self._member

    @property
    def runs(self) -> bool:
        """Whether it can be asked something."""
        return self._member is not None and not self.ended and not self._loop.is_dead(self.name)

    def start(self) -> None:
        """Start it in a context of its own."""
        self._loop.start(self.name, self._run(), f"process {self.name}")

    def run(self, work: "Coroutine[Any, Any, T]", what: str) -> "asyncio.Task[T]":
        """Runs something in it."""
        return self._loop.start(self.name, work, what)

    def stop(self) -> None:
        """Tell it to end in an orderly way, as SIGTERM does."""
        self._stopping.set()

    def _fail(self, error: BaseException) -> None:
        if self.failed is None:
            self.failed = error
        self._stopping.set()

    async def _run(self) -> None:
        assembled = assemble(self._environment, send=self._send, now=self._loop.time)
        queue: asyncio.Queue[tuple[Shard, object]] = asyncio.Queue(CHANNEL_BATCHES)

        async def deliver(shard: Shard, fetched: object) -> None:
            await queue.put((shard, fetched))

        async def ingest() -> None:
            while True:
                shard, fetched = await queue.get()
                try:
                    await shard.offer(fetched)
                except Exception as error:
                    self._fail(error)

        member = self._member = member_of(
            self.settings,
            assembled.actors,
            assembled.make_context,
            deliver=deliver,
            on_failed=self._fail,
            on_held=assembled.on_held,
            now=self._loop.time,
        )
        member.context.address = self.address
        member.context.peers = SimPeers(self._net, self.name)  # type: ignore[assignment]
        self._net.listening[self.address] = self.name, member.context
        link = Link(self.name, self._group, self.settings, member.membership)
        ingesting = asyncio.create_task(ingest(), name="ingest")
        member.manager.start()
        joined = asyncio.create_task(link.run(), name="group")
        joined.add_done_callback(self._left)
        await self._stopping.wait()
        await member.manager.stop()
        joined.cancel()
        await asyncio.wait([joined])
        await link.leave()
        ingesting.cancel()
        if self._net.listening.get(self.address, ("", None))[0] == self.name:
            del self._net.listening[self.address]
        self.ended = True

    def _left(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

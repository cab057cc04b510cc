"""A supervisor runs one actor, and restarts it after an error, while it is assigned here."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from agents.shard.protocol import Actor
from schemas.errors import EmberlineError, Fatal, Recoverable
from streams.kafka.log import Fenced
from streams.metrics import names
from streams.metrics.meters import Meters

__all__ = ["Actor", "Gate", "SupervisionContext", "Supervisor"]

log = logging.getLogger(__name__)

REJOIN_AFTER_S = 5.0
FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 10.0
LEAVE_S = 30.0
#: A cancellation without effect for this time was lost.
CANCEL_AGAIN_S = 3.0


class Gate(Protocol):
    """An actor waits here before each start (agents/supervision/broker_gate.py)."""

    async def passed(self) -> None:
        """Return once a start can succeed."""
        ...


A = TypeVar("A", bound=Actor, covariant=True)


@dataclass(frozen=True, slots=True)
class SupervisionContext:
    """The objects that all supervisors of a worker share."""

    gate: Gate
    request_rejoin: Callable[[], None]
    on_failed: Callable[[BaseException], None]
    meters: Meters = field(default_factory=Meters)


class Supervisor(Generic[A]):
    """Runs the actor that `make` creates; creates another one after a recoverable error.

    A fenced actor is not restarted within the same generation: its successor may be alive, and
    would be fenced in turn. `after` are the tasks of former supervisors of the same name, which
    have to end first. After `leave` a supervisor starts no actor any more, even if the cancellation
    has no effect.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], A],
        context: SupervisionContext,
        generation: int,
        after: Collection[asyncio.Task[None]] = (),
    ) -> None:
        self.name = name
        self.actor: A | None = None
        self._make = make
        self._context = context
        self._generation = generation
        # shards are told apart by the log
        self._kind = "shard" if name.startswith("shard ") else name
        context.meters.count(names.RESTARTS, self._kind, by=0)
        self._renewed = asyncio.Event()
        self._left = False
        self.task = asyncio.create_task(self._keep(after), name=name)

    def renew(self, generation: int) -> None:
        """The actor is assigned in this generation too."""
        self._generation = generation
        self._renewed.set()

    def leave(self) -> asyncio.Task[None]:
        """Stop the actor. The returned task ends when the actor has ended, and after 30 s at the
        latest.

        The actor is cancelled at once, and again if that had no effect: some code may have taken
        the cancellation as its own.
        """
        self._left = True
        self.task.cancel()
        return asyncio.create_task(self._ended(), name=f"leave {self.name}")

    async def _ended(self) -> None:
        deadline = asyncio.get_running_loop().time() + LEAVE_S
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.wait([self.task], timeout=CANCEL_AGAIN_S)
            if self.task.done():
                return
            self.task.cancel()
        log.error("%s was cancelled %.0f s ago and still runs", self.name, LEAVE_S)

    async def _keep(self, after: Collection[asyncio.Task[None]]) -> None:
        try:
            if after:
                await self._let_go(after)
            pause = FIRST_PAUSE_S
            while not self._left:
                await self._context.gate.passed()
                started = asyncio.get_running_loop().time()
                await self._run_once(pause)
                lived = asyncio.get_running_loop().time() - started
                pause = FIRST_PAUSE_S if lived > LAST_PAUSE_S else min(2 * pause, LAST_PAUSE_S)
        except asyncio.CancelledError:
            raise
        # a panic of a native library derives from BaseException and must end the worker too
        except BaseException as error:
            if self._left and isinstance(error, EmberlineError):
                log.warning("%s: %s; it was left", self.name, error)
                return
            self._context.on_failed(error)

    async def _run_once(self, pause: float) -> None:
        try:
            self.actor = self._make()
            await self.actor.run()
        except Recoverable as error:
            self.actor = None
            if self._left:
                log.info("%s: %s; it was left", self.name, error)
                return
            self._context.meters.count(names.RESTARTS, self._kind)
            if isinstance(error, Fenced):
                log.warning("%s: %s; waiting for a new generation of the group", self.name, error)
                # the new owner may have a generation that this worker does not know yet
                await self._later_than(self._generation)
            else:
                log.warning("%s: %s; recovering in %.1f s", self.name, error, pause)
                await asyncio.sleep(pause)
        else:
            raise Fatal(f"{self.name} ended by itself", remedy="Report this as an error")
        finally:
            self.actor = None

    async def _later_than(self, generation: int) -> None:
        while self._generation <= generation:
            self._renewed.clear()
            try:
                async with asyncio.timeout(REJOIN_AFTER_S):
                    await self._renewed.wait()
            except TimeoutError:
                self._context.request_rejoin()

    async def _let_go(self, after: Collection[asyncio.Task[None]]) -> None:
        _, running = await asyncio.wait(after, timeout=LEAVE_S)
        if running:
            raise Fatal(
                f"{self.name} was cancelled {LEAVE_S:.0f} s ago and still runs",
                remedy="Start the worker again; report this as an error",
            )

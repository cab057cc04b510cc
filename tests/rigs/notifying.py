"""A notifier over logs in memory, a coordinator on paper, and a mail server that only counts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from agents.notify.notifier import Notifier, NotifierParts
from agents.notify.outbox import (
    Attempt,
    Delivery,
    DeliveryPolicy,
    DeliveryState,
    Notice,
    Outbox,
    Result,
)
from agents.notify.outbox_log import FoundOutbox, apply
from agents.views.request_view import RequestView
from agents.views.state_view import StateView
from schemas.records import codec
from streams.clock import ManualClock
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.settings import load
from tests.rigs.desk import START, Desk
from tests.rigs.memory_log import MemoryLog

__all__ = ["DEADLINE_S", "Killed", "NotifyRig"]

DEADLINE_S = 20.0
_TOPICS = {"expiring_soon"}


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


class NotifyRig:
    """`sent` has each delivery that the server accepted, as often as it did. `answers`: what the
    next attempts give, after those `sent`. `kill_at`: the number of the point at which the process
    ends; `points` counts them.
    """

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        given = {"prefix": "t.", "data_dir": tmp_path, "keys_file": tmp_path / "none"}
        self.settings = load({**given, **settings}, env={}, file=tmp_path / "none.toml")
        self.desk = Desk()
        self.clock = ManualClock(START)
        self.log = MemoryLog()
        self.random = Random(1)
        self.topics = Topics("t.")
        self.sent: list[Delivery] = []
        self.notices: dict[str, Notice] = {}
        self.answers: list[Attempt] = []
        self.policy = DeliveryPolicy()
        self.emails: dict[str, str] = {}
        self.kill_at: int | None = None
        self.points: Iterator[int] = count()
        self.requests, self.states = RequestView(), StateView()
        self._told = self._said = 0

    async def tell(self) -> None:
        """All that the desk has written since goes to the log, and to the views."""
        for key, value in self.desk.log[self._told :]:
            offset = self.log.write(self.topics.coordinator, key, value)
            self.requests.apply(key.encode(), value, offset)
            await self.requests.advance(offset + 1)
        for output in self.desk.said[self._said :]:
            value = codec.encode(output.schema, output.record)
            if output.topic == "state":
                self.states.apply((output.key or "").encode(), value)
            elif output.topic == "expiring_soon":
                self.log.write(self.topics.expiring_soon, output.key or "", value)
        await self.states.advance(self._said)
        self._told, self._said = len(self.desk.log), len(self.desk.said)
        self.requests.caught_up.set()
        self.states.caught_up.set()

    def point(self, where: str) -> None:
        """A moment at which the process may end."""
        if next(self.points) == self.kill_at:
            raise Killed(where)

    async def send(self, notice: Notice, delivery: Delivery) -> Attempt:
        """The server: accepts, unless the test has set another answer."""
        self.point("sending")
        answer = self.answers.pop(0) if self.answers else Attempt(Result.SENT)
        if answer.result is Result.SENT:
            self.sent.append(delivery)
            self.notices[notice.id] = notice
        self.point("sent")
        return answer

    async def run(self, until: Callable[[], bool]) -> bool:
        """Run a new notifier until a condition holds; False where the process ended before."""
        self.log.stop = self.point
        parts = NotifierParts(
            *(self.states, self.requests, self.send),
            email_of=lambda name: self.emails.get(name, ""),
            policy=self.policy,
        )
        environment = Environment(self.settings, self.log, self.clock, self.random)
        task = asyncio.ensure_future(_carry(Notifier(environment, parts).run()))
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not task.done() and not until():  # noqa: ASYNC110  # all is in this loop
                    await asyncio.sleep(0)
            return not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @property
    def outbox(self) -> Outbox:
        """What the topic holds."""
        found = FoundOutbox(Outbox("t."))
        for one in self.log.records.get(self.topics.notifications, []):
            apply(found, (one.key or b"").decode(), one.value)
        return found.outbox

    def all_over(self) -> bool:
        """Whether there are deliveries, and all of them are over."""
        found = self.outbox.deliveries.values()
        return bool(found) and all(one.state is not DeliveryState.PENDING for one in found)


async def _carry(work: Awaitable[None]) -> None:
    try:
        await work
    except Killed:
        return

"""Two notifiers on a real broker: the later one alone goes on, with what the former one kept."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agents.coordinator.rules.state import Request, RequestResult
from agents.notify import outbox_log
from agents.notify.notifier import Notifier, NotifierParts
from agents.notify.outbox import Attempt, Delivery, Notice, Result
from agents.views.request_view import RequestView
from agents.views.state_view import StateView
from schemas.records.lifecycle import Outcome
from streams.clock import SYSTEM_CLOCK
from streams.kafka.environment import Environment
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Fenced
from streams.kafka.topics import Topics
from streams.settings import Settings

pytestmark = pytest.mark.connected

DEADLINE_S = 60.0


def made(settings: Settings, send: Callable[[Notice, Delivery], Awaitable[Attempt]]) -> Notifier:
    requests, states = RequestView(), StateView()
    requests.caught_up.set()
    states.caught_up.set()
    requests.position = 1 << 40
    return Notifier(Environment.of(settings), NotifierParts(states, requests, send))


async def test_a_former_notifier_is_fenced_and_its_messages_are_sent_by_the_next(
    settings: Settings, topics: Topics
) -> None:
    began, sent = asyncio.Event(), asyncio.Event()
    offered: list[str] = []

    async def silent(_: Notice, delivery: Delivery) -> Attempt:
        offered.append(delivery.id)
        began.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing answers")

    async def accepts(_: Notice, delivery: Delivery) -> Attempt:
        offered.append(delivery.id)
        sent.set()
        return Attempt(Result.SENT)

    now = SYSTEM_CLOCK.now_ms()
    whole = RequestResult(Outcome.REFUSED, "invalid_command", "no", time=now)
    request = Request("r", "hold", now, whole=whole, notify=("ada@example.com",))
    appender = KafkaLog(settings).appender("test")
    await appender.append(outbox_log.record(topics.coordinator, "r/r", request))
    first = asyncio.create_task(made(settings, silent).run())
    second: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            await began.wait()
            second = asyncio.create_task(made(settings, accepts).run())
            await sent.wait()
            # the former one learns of it when it writes
            await appender.append(outbox_log.record(topics.notifications, "q/none", {}))
            with pytest.raises(Fenced):
                await first
        assert offered == [offered[0]] * 2, "the same message, under the same id"
        assert not second.done()
    finally:
        await appender.close()
        for task in filter(None, (first, second)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

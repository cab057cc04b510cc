"""Requests between a client and the simulated brokers: they take time, and some do not arrive."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVar

from aiokafka import errors as kafka_errors

from tests.sim.log.faults import Faults

__all__ = ["Network"]

T = TypeVar("T")


class Network:
    """`latency_s`: what one way takes at most, without faults."""

    def __init__(self, faults: Faults, latency_s: float = 0.0) -> None:
        self.faults = faults
        self.latency_s = latency_s
        #: While false no broker takes a connection.
        self.up = True
        self._outside = Context()

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Calls back for the cluster: whatever happens to the client."""
        asyncio.get_running_loop().call_later(delay_s, callback, context=self._outside)

    async def ask(self, work: Callable[[], T], limit_s: float) -> T:
        """The brokers do `work` when the request arrives; the result takes time again.

        Raises its error, or `KafkaError` where nobody answers within `limit_s`: then the work was
        done or not.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.send(answer, lambda: self.answer(answer, work))
        limit = asyncio.get_running_loop().call_later(limit_s, _timed_out, answer)
        try:
            return await answer
        finally:
            limit.cancel()

    def send(self, answer: "asyncio.Future[T]", arrive: Callable[[], None]) -> None:
        """Calls `arrive` when the request reaches the brokers; if they are down, `answer` fails."""

        def arrives() -> None:
            if self.up:
                arrive()
            elif not answer.done():
                answer.set_exception(kafka_errors.KafkaConnectionError("connection refused"))

        self.later(self.way(), arrives)

    def answer(self, answer: "asyncio.Future[T]", work: Callable[[], T]) -> None:
        """Does the work, and brings its result to the client."""
        try:
            result = work()
        except kafka_errors.KafkaError as error:
            failed = error
            self.later(self.way(), lambda: _fail(answer, failed))
        else:
            self.later(self.way(), lambda: _set(answer, result))

    def way(self) -> float:
        """How long one way takes, in seconds."""
        way = self.faults.random.random() * self.latency_s
        if self.faults.strikes("slow"):
            way += self.faults.random.random() * self.faults.rates.slow_s
        return way


def _set(answer: "asyncio.Future[T]", result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[T]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def _timed_out(answer: "asyncio.Future[T]") -> None:
    _fail(answer, kafka_errors.RequestTimedOutError())

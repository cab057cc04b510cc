"""Requests between a client and the simulated brokers: they take time, and some do not arrive."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from enum import Enum
from typing import TypeVar

from aiokafka import errors as kafka_errors

from tests.sim.log.faults import Faults

__all__ = ["ANY", "Network", "Request"]

T = TypeVar("T")

#: A request that any broker can answer.
ANY = -1


class Request(Enum):
    """The kinds of requests, each with the error of a broker that cannot serve it for the
    moment.
    """

    METADATA = kafka_errors.LeaderNotAvailableError
    FETCH = kafka_errors.KafkaTimeoutError
    ADMIN = kafka_errors.NotControllerError
    OFFSETS = kafka_errors.NotLeaderForPartitionError
    PRODUCE = kafka_errors.NotEnoughReplicasError
    TRANSACTION = kafka_errors.CoordinatorLoadInProgressError


class Network:
    """`latency_s`: what one way takes at most, without faults."""

    def __init__(self, faults: Faults, nodes: int, latency_s: float = 0.0) -> None:
        self.faults = faults
        self.latency_s = latency_s
        self.nodes = nodes
        #: Nodes that are down; those that hang take requests and never answer.
        self.down: set[int] = set()
        self.hanging: set[int] = set()
        self._outside = Context()

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Calls back for the cluster: whatever happens to the client."""
        asyncio.get_running_loop().call_later(delay_s, callback, context=self._outside)

    async def ask(
        self, kind: Request, work: Callable[[], T], limit_s: float, node: int | None = ANY
    ) -> T:
        """The brokers do `work` when the request arrives; the result takes time again.

        Raises its error, or `KafkaError` where nobody answers within `limit_s`: then the work is
        done, or not, or it is done later. No node: none leads what is asked for.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self.send(kind, answer, lambda: self.answer(answer, work), node)
        if kind is Request.PRODUCE and self.faults.strikes("repeated"):
            again: asyncio.Future[T] = loop.create_future()
            self.later(
                self.faults.within(self.faults.rates.repeated_s),
                lambda: self._carry_out(again, work),
            )
        limit = loop.call_later(limit_s, _timed_out, answer)
        try:
            return await answer
        finally:
            limit.cancel()

    def send(
        self,
        kind: Request,
        answer: "asyncio.Future[T]",
        arrive: Callable[[], None],
        node: int | None = ANY,
    ) -> None:
        """Calls `arrive` when the request reaches the broker; else `answer` fails, or nothing
        comes.
        """
        faults = self.faults
        lost = faults.strikes("broken")
        if lost and faults.random.random() < 0.5:
            self._fail_later(answer, kafka_errors.KafkaConnectionError("lost request"))
            return

        def arrives() -> None:
            if node is None:
                self._fail_later(answer, kafka_errors.NotLeaderForPartitionError())
            elif self._out(node) and (self.hanging if node == ANY else node in self.hanging):
                faults.reach("hung")
            elif self._out(node):
                self._fail_later(answer, kafka_errors.KafkaConnectionError("connection refused"))
            elif kind is not Request.FETCH and faults.strikes("refused"):
                self._fail_later(answer, kind.value())
            elif lost:
                arrive()
                _fail(answer, kafka_errors.KafkaConnectionError("lost answer"))
            else:
                arrive()

        self.later(self.way(), arrives)

    def answer(self, answer: "asyncio.Future[T]", work: Callable[[], T]) -> None:
        """Does the work, and brings its result to the client."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._carry_out(done, work)
        self.later(self.way(), lambda: _pass_on(done, answer))

    def way(self) -> float:
        """How long one way takes, in seconds."""
        way = self.faults.random.random() * self.latency_s
        if self.faults.strikes("slow"):
            way += self.faults.within(self.faults.rates.slow_s)
        return way

    def _out(self, node: int) -> bool:
        if node == ANY:
            return len(self.down | self.hanging) >= self.nodes
        return node in self.down or node in self.hanging

    def _fail_later(self, answer: "asyncio.Future[T]", error: Exception) -> None:
        self.later(self.way(), lambda: _fail(answer, error))

    @staticmethod
    def _carry_out(done: "asyncio.Future[T]", work: Callable[[], T]) -> None:
        try:
            done.set_result(work())
        except kafka_errors.KafkaError as error:
            done.set_exception(error)
            done.exception()  # the client may be gone


def _pass_on(done: "asyncio.Future[T]", answer: "asyncio.Future[T]") -> None:
    error = done.exception()
    if error is not None:
        _fail(answer, error)
    elif not answer.done():
        answer.set_result(done.result())


def _fail(answer: "asyncio.Future[T]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def _timed_out(answer: "asyncio.Future[T]") -> None:
    _fail(answer, kafka_errors.RequestTimedOutError())

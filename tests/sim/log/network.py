"""Requests between a client and the simulated brokers: they take time, and some do not arrive."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from aiokafka import errors as kafka_errors

from tests.sim.log.faults import Faults

__all__ = ["ANY", "Call", "Network", "Request"]

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
        call: Call[T] = self.call(limit_s)
        self.send(kind, call, lambda: self.answer(call, work), node)
        if kind is Request.PRODUCE and self.faults.strikes("repeated"):
            again_s = self.faults.within(self.faults.rates.repeated_s)
            self.later(again_s, lambda: _unheard(work))
        return await call.result

    def call(self, limit_s: float) -> "Call[Any]":
        """A request that begins now."""
        loop = asyncio.get_running_loop()
        return Call(loop.create_future(), loop.time() + limit_s)

    def send(
        self, kind: Request, call: "Call[Any]", arrive: Callable[[], None], node: int | None = ANY
    ) -> None:
        """Calls `arrive` when the request reaches the broker; else the call fails."""
        faults = self.faults
        if faults.strikes("broken"):
            call.broken = True
            if faults.random.random() < 0.5:
                self._end(call, self.way(), kafka_errors.KafkaConnectionError("lost request"))
                return

        def arrives() -> None:
            if node is None:
                self._end(call, self.way(), kafka_errors.NotLeaderForPartitionError())
            elif self._out(node) and (self.hanging if node == ANY else node in self.hanging):
                faults.reach("hung")
                self._end(call, math.inf, kafka_errors.RequestTimedOutError())
            elif self._out(node):
                error = kafka_errors.KafkaConnectionError("connection refused")
                self._end(call, self.way(), error)
            elif kind is not Request.FETCH and faults.strikes("refused"):
                self._end(call, self.way(), kind.value())
            else:
                arrive()

        # What comes a little later only comes at another moment: one step less for each request.
        if faults.strikes("slow"):
            way_s = faults.within(faults.rates.slow_s)
            if call.overdue(way_s):
                self._end(call, math.inf, kafka_errors.RequestTimedOutError())
            self.later(way_s, arrives)
        else:
            arrives()

    def answer(self, call: "Call[T]", work: Callable[[], T]) -> None:
        """Does the work, and brings its result to the client."""
        result: T | kafka_errors.KafkaError
        try:
            result = work()
        except kafka_errors.KafkaError as error:
            result = error
        if call.broken:
            result = kafka_errors.KafkaConnectionError("lost answer")
        self._end(call, self.way(), result)

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

    def _end(self, call: "Call[T]", way_s: float, result: T | kafka_errors.KafkaError) -> None:
        """The client gets this result after `way_s`, unless its patience ends before."""
        if call.result.done():
            return
        if call.overdue(way_s):
            left_s = max(0.0, call.until - asyncio.get_running_loop().time())
            self.later(left_s, lambda: call.end(kafka_errors.RequestTimedOutError()))
        else:
            self.later(way_s, lambda: call.end(result))


def _unheard(work: Callable[[], object]) -> None:
    """Carries out a request whose answer has no receiver."""
    with suppress(kafka_errors.KafkaError):
        work()


@dataclass(slots=True)
class Call(Generic[T]):
    """A request whose client waits until a moment of the loop's time."""

    result: "asyncio.Future[T]"
    until: float
    #: The connection breaks before the answer comes.
    broken: bool = False

    def overdue(self, way_s: float) -> bool:
        """Whether the client gives up before that time has passed."""
        return asyncio.get_running_loop().time() + way_s > self.until

    def end(self, result: T | kafka_errors.KafkaError) -> None:
        """Only the first end counts."""
        if self.result.done():
            return
        if isinstance(result, kafka_errors.KafkaError):
            self.result.set_exception(result)
        else:
            self.result.set_result(result)

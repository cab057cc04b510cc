"""Why a step does not come about: what the brokers said last while it was tried again and again.

aiokafka retries in silence until the step's time is over, and what is left then is a
TimeoutError, which names nothing.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient

__all__ = ["Refusals"]

_REPLICAS = "fewer of its replicas are in sync than min.insync.replicas asks for"
_NO_COORDINATOR = (
    "no broker coordinates transactions: __transaction_state has no leader, or too few of its "
    "replicas are in sync"
)
#: What a person can look for, beside Kafka's own word.
_MEANING = {
    kafka_errors.NotEnoughReplicasError: _REPLICAS,
    kafka_errors.NotEnoughReplicasAfterAppendError: _REPLICAS,
    kafka_errors.NotLeaderForPartitionError: "another broker has become its leader",
    kafka_errors.LeaderNotAvailableError: "it has no leader",
    kafka_errors.GroupCoordinatorNotAvailableError: _NO_COORDINATOR,
    kafka_errors.CoordinatorNotAvailableError: _NO_COORDINATOR,
    kafka_errors.ConcurrentTransactions: "the transaction before is not ended yet",
    kafka_errors.RequestTimedOutError: "no answer came",
    kafka_errors.NodeNotReadyError: "there is no connection",
    kafka_errors.KafkaConnectionError: "there is no connection",
}


class Refusals:
    """Listens to one client of aiokafka; `last` is the last thing that was refused.

    What is done after all is forgotten. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._last: dict[str, type[Exception]] = {}

    def listen(self, client: AIOKafkaClient) -> None:
        """Hear every answer that the client gets from now on."""
        send = client.send

        async def heard(node: int, request: Any, **more: Any) -> Any:
            place = f"broker {node}"
            try:
                response = await send(node, request, **more)
            except kafka_errors.KafkaError as error:
                self._note(place, type(error))
                raise
            self._last.pop(place, None)
            for what, code in _answers(response):
                self._note(what, kafka_errors.for_code(code) if code else None)
            return response

        client.send = heard

    def __str__(self) -> str:
        """What has not been done, each with its reason; empty where nothing was refused."""
        return "; ".join(
            f"{what}: {error.__name__}" + (f", {_MEANING[error]}" if error in _MEANING else "")
            for what, error in self._last.items()
        )

    def clear(self) -> None:
        """Forget everything: something new begins."""
        self._last.clear()

    def _note(self, what: str, error: type[Exception] | None) -> None:
        self._last.pop(what, None)
        if error is not None:
            self._last[what] = error


def _answers(response: Any) -> Iterator[tuple[str, int]]:
    """(what was asked for, error code) of an answer to a write or about a transaction."""
    name = type(response).__name__.partition("_")[0]
    if name == "ProduceResponse":
        for topic, partitions in response.topics:
            for partition, code, *_ in partitions:
                yield f"{topic}[{partition}]", code
    elif name == "AddPartitionsToTxnResponse":
        for topic, found in response.errors:
            for partition, code in found:
                yield f"{topic}[{partition}] in the transaction", code
    elif name in ("InitProducerIdResponse", "EndTxnResponse", "FindCoordinatorResponse"):
        yield name.removesuffix("Response"), response.error_code

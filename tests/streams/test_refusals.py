"""What is named when a step's time is over: the last refusals, each with its place."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import errors as kafka_errors
from aiokafka.protocol.coordination import FindCoordinatorResponse_v1
from aiokafka.protocol.produce import ProduceResponse_v2
from aiokafka.protocol.transaction import EndTxnResponse_v0

from streams.refusals import Refusals


class Client:
    """Answers with what a test gives it."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self._answers = iter(answers)

    async def send(self, node: int, request: Any, *, group: int = 0) -> Any:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def produced(code: int) -> ProduceResponse_v2:
    return ProduceResponse_v2([("changelog", [(3, code, 7, -1)])], 0)


async def refusals(*answers: Any) -> str:
    heard, client = Refusals(), Client(answers)
    heard.listen(client)
    for answer in answers:
        if isinstance(answer, Exception):
            with pytest.raises(type(answer)):
                await client.send(2, None, group=1)
        else:
            assert await client.send(2, None) is answer
    return str(heard)


async def test_a_partition_without_replicas_is_named() -> None:
    found = await refusals(produced(kafka_errors.NotEnoughReplicasError.errno))
    assert found.startswith("changelog[3]: NotEnoughReplicasError, fewer of its replicas")
    assert "min.insync.replicas" in found


async def test_what_is_done_after_all_is_not_named() -> None:
    code = kafka_errors.NotEnoughReplicasError.errno
    assert await refusals(produced(code), produced(0)) == ""
    assert await refusals(kafka_errors.RequestTimedOutError(), produced(0)) == ""


async def test_a_coordinator_that_is_not_there_and_a_broker_that_is_silent_are_named() -> None:
    gone = kafka_errors.CoordinatorNotAvailableError.errno
    found = await refusals(FindCoordinatorResponse_v1(0, gone, "", 0, "", 0))
    assert found.startswith("FindCoordinator: ")
    assert "no broker coordinates transactions" in found
    found = await refusals(EndTxnResponse_v0(0, 0), kafka_errors.RequestTimedOutError())
    assert found == "broker 2: RequestTimedOutError, no answer came"

"""The requests to brokers and the evaluation of their answers, without a broker."""

from types import SimpleNamespace
from typing import Any

import pytest

from schemas.decode.batch import RecordBatch, SealedBatch
from streams.kafka.fetch_protocol import (
    FIRST_BYTES,
    LEAST_BYTES,
    LINGER_BYTES,
    FetchProtocol,
    FetchResponse,
    PartitionAnswer,
)
from streams.kafka.log import LostRange, Partition

A0, A1, B0 = ("a", 0), ("a", 1), ("b", 0)
NOT_LEADER, OUT_OF_RANGE = 6, 1
WAIT_MS = 500


def protocol(**more: Any) -> FetchProtocol:
    sizes = {"bytes_per_fetch": 8_000_000, "bytes_per_partition": 3_000_000}
    return FetchProtocol({A0: 10, A1: 20, B0: 30}, **{**sizes, **more})


def part(partition: Partition, *, code: int = 0, high: int = 0, stable: int = -1) -> Any:
    """One partition of a response of version 11, that sends nothing."""
    return partition[0], [(partition[1], code, high, stable, 0, None, -1, b"")]


def heard(found: FetchProtocol, *parts: Any) -> FetchResponse:
    question = found.ask(list(found.positions), 1, WAIT_MS)
    return found.heard(question, SimpleNamespace(topics=parts, API_VERSION=11))


def sealed() -> list[SealedBatch]:
    """A batch of which nothing is looked at."""
    batch: Any = SimpleNamespace(wire=b"")
    return [batch]


def opened(fetched: int, size: int) -> RecordBatch:
    batch: Any = SimpleNamespace(wire=bytes(fetched), payload=bytes(size))
    found: RecordBatch = batch
    return found


def test_a_question_names_positions_by_topic_in_the_order_given() -> None:
    question = protocol().ask([A1, B0, A0], 1, WAIT_MS)
    assert question.positions == {A1: 20, B0: 30, A0: 10}
    each = question.most_each
    assert question.topics() == [("a", [(1, 20, each), (0, 10, each)]), ("b", [(0, 30, each)])]


def test_where_an_end_is_unknown_the_broker_does_not_wait() -> None:
    found = protocol()
    assert found.ask([A0], 1, WAIT_MS).wait_ms == 0
    heard(found, part(A0))
    assert found.ask([A0], 1, WAIT_MS).wait_ms == WAIT_MS
    assert found.ask([A0, A1], 1, WAIT_MS).wait_ms == 0
    found.silent(found.ask([A0], 1, WAIT_MS), timed_out=False)
    assert found.ask([A0], 1, WAIT_MS).wait_ms == 0


def test_a_broker_gathers_while_records_come_and_not_after_a_pause() -> None:
    found = protocol(linger_ms=50)
    heard(found, part(A0))
    assert found.ask([A0], 1, WAIT_MS).least == 1
    found.hand_over([PartitionAnswer(A0, 10, sealed(), 11)])
    question = found.ask([A0], 1, WAIT_MS)
    assert (question.wait_ms, question.least) == (50, LINGER_BYTES)
    found.hand_over([PartitionAnswer(A0, 11, [], 12)])
    assert found.ask([A0], 1, WAIT_MS).least == 1


def test_answers_grow_from_a_small_one_to_the_bound_and_shrink_after_silence() -> None:
    found = protocol()
    sizes = [found.ask([A0], 1, WAIT_MS).most]
    for offset in range(10, 15):
        found.hand_over([PartitionAnswer(A0, offset, sealed(), offset + 1)])
        sizes.append(found.ask([A0], 1, WAIT_MS).most)
    assert sizes == [FIRST_BYTES, 2 * FIRST_BYTES, 4 * FIRST_BYTES, *[8_000_000] * 3]
    assert found.ask([A0], 1, WAIT_MS).most_each == 3_000_000
    assert found.ask([A0], 4, WAIT_MS).most == 2_000_000, "brokers share the bound"
    for _ in range(20):
        found.silent(found.ask([A0], 1, WAIT_MS), timed_out=True)
    assert found.ask([A0], 1, WAIT_MS).most == LEAST_BYTES


def test_what_grows_when_it_is_opened_is_asked_for_in_smaller_pieces() -> None:
    found = protocol()
    found.learn_growth([opened(1_000, 10_000)])
    assert found.ask([A0], 1, WAIT_MS).most == FIRST_BYTES // 10
    found.learn_growth([opened(1_000, 1_000)])  # slowly back
    assert FIRST_BYTES // 10 < found.ask([A0], 1, WAIT_MS).most < FIRST_BYTES // 7
    found.learn_growth([opened(1_000, 1_000_000)])
    assert found.ask([A0], 1, WAIT_MS).most == LEAST_BYTES


def test_an_answer_tells_the_lag_and_what_of_it_is_held_back() -> None:
    found = protocol(ends={B0: 35})
    assert found.lag(found.positions) == {A0: 1, A1: 1, B0: 5}
    heard(found, part(A0, high=17, stable=12), part(A1, high=20, stable=20))
    assert found.lag({A0: 10, A1: 20}) == {A0: 7, A1: 0}
    assert found.held_back() == {A0: 5}
    heard(found, part(A0, high=18, stable=18))
    assert found.held_back() == {}


def test_a_refused_partition_is_named_unheard_and_delays_no_other() -> None:
    found = protocol()
    judged = heard(found, part(A0, code=NOT_LEADER), part(A1, high=25))
    assert judged.refused == [(A0, "NotLeaderForPartitionError")]
    assert [raw.partition for raw in judged.sent] == [A1]
    assert found.lag(found.positions) == {A0: 1, A1: 5, B0: 1}
    found.rest([A0], until=2.0)
    found.awake(now=1.0)
    assert found.resting == {A0: 2.0}
    found.awake(now=2.0)
    assert found.resting == {}


def test_a_range_is_lost_unless_the_position_was_moved_since() -> None:
    found = protocol()
    lost = heard(found, part(A0, code=OUT_OF_RANGE)).lost
    assert isinstance(lost, LostRange)
    assert (lost.partition, lost.position) == (A0, 10)
    question = found.ask([A0], 1, WAIT_MS)
    found.positions[A0] = 15
    response = SimpleNamespace(topics=[part(A0, code=OUT_OF_RANGE)], API_VERSION=11)
    judged = found.heard(question, response)
    assert (judged.lost, judged.refused, judged.sent) == (None, [], [])


@pytest.mark.parametrize("version", [4, 10, 11])
def test_aborted_transactions_are_found_in_each_version(version: int) -> None:
    aborted = [(7, 12)]
    tails: dict[int, list[Any]] = {4: [aborted], 10: [0, aborted], 11: [0, aborted, -1]}
    found = protocol()
    response = SimpleNamespace(
        topics=[("a", [(0, 0, 20, 20, *tails[version], b"bytes")])], API_VERSION=version
    )
    (raw,) = found.heard(found.ask([A0], 1, WAIT_MS), response).sent
    assert (raw.partition, raw.asked_from, raw.data, raw.aborted) == (A0, 10, b"bytes", aborted)


def test_positions_move_when_answers_are_handed_over_unless_a_seek_came_first() -> None:
    found = protocol()
    found.positions[A1] = 5
    batches = sealed()
    assert (
        found.hand_over(
            [PartitionAnswer(A0, 10, batches, 12), PartitionAnswer(A1, 20, sealed(), 22)]
        )
        == batches
    )
    assert found.positions == {A0: 12, A1: 5, B0: 30}


def test_a_partition_without_a_leader_is_reported_once_and_its_return_too() -> None:
    found = protocol()
    heard(found, part(A0), part(A1), part(B0))
    assert found.led({A0, A1, B0}) == (set(), set())
    assert found.led({A0}) == ({A1, B0}, set())
    assert found.leaderless
    assert found.led({A0, A1}) == (set(), {A1})
    assert found.lag({A1: 20, B0: 30}) == {A1: 1, B0: 1}
    assert found.led({A0, A1, B0}) == (set(), {B0})
    assert not found.leaderless

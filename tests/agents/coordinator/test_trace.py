"""The trace context of a command or a definition is in every record that it causes, also in those
that the last report of a shard completes, and after a restart.
"""

from collections.abc import Sequence

import pytest

from agents.coordinator.decision_records import groups_of
from agents.coordinator.records import read
from agents.coordinator.rules.decision import Decision
from agents.coordinator.rules.inputs import CommandRead, DefinitionRead
from agents.coordinator.rules.outputs import Output
from agents.coordinator.rules.state import CoordinatorState
from schemas.records.lifecycle import Command, Definition, Phase, State, Status
from schemas.records.trace import readable, trace_of
from tests.rigs.coordinator_inputs import ACTIVE, NOW, TOPICS, batch
from tests.rigs.desk import DAY, MONTH3, Desk

A, B, C = "campaign:a", "campaign:b", "campaign:c"
ONE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TWO = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
WRONG = (
    "",
    "nonsense",
    ONE.upper(),
    ONE[:-1],
    f"{ONE}-more",
    "ff" + ONE[2:],
    ONE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    ONE.replace("b7ad6b7169203331", "0" * 16),
    "\u0661" * 55,
)


def traces(outputs: Sequence[Output]) -> set[str]:
    return {output.trace for output in outputs}


def restore(desk: Desk, source: str, trace: str) -> list[Output]:
    command = Command("restore", (source,), request_id=f"r-{source}-{trace[:9]}")
    return desk.take(CommandRead(command, "control-0-9", trace=trace))


def test_only_what_w3c_allows_is_a_trace() -> None:
    assert readable(ONE) == ONE
    assert readable("cc" + ONE[2:]) == "cc" + ONE[2:]
    assert [readable(one) for one in WRONG] == [""] * len(WRONG)
    assert trace_of([("x", b""), ("traceparent", ONE.encode()), ("traceparent", b"")]) == ONE
    assert trace_of([("traceparent", None)]) == trace_of([("traceparent", b"\xff" * 55)]) == ""


def test_a_restore_and_its_event_belong_to_the_trace_of_the_command() -> None:
    desk = Desk()
    desk.expired(A)
    said = restore(desk, A, ONE)
    assert {one.topic for one in said} == {"state", "audit", "control_results"}
    assert traces(said) == {ONE}
    assert desk.report(A, 0)
    desk.restart()
    ended = desk.report(A, 1)
    assert {"restored", "state", "control_results"} <= {one.topic for one in ended}
    assert traces(ended) == {ONE}
    # what a sweep decides has no cause outside
    assert traces(desk.tick(MONTH3 + DAY)) == {""}


def test_a_refusal_and_a_repetition_belong_to_their_own_command() -> None:
    desk = Desk()
    assert traces(restore(desk, "campaign:nobody", ONE)) == {ONE}
    command = Command("pause", request_id="p")
    assert traces(desk.take(CommandRead(command, "control-0-1", trace=ONE))) == {ONE}
    assert traces(desk.take(CommandRead(command, "control-0-2", trace=TWO))) == {TWO}
    assert traces(desk.take(CommandRead(command, "control-0-3"))) == {""}


def test_a_restore_that_waits_for_an_expiry_begins_in_its_own_trace() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    expire = Command("expire", (A,), request_id="e")
    assert traces(desk.take(CommandRead(expire, "control-0-1", trace=ONE))) == {ONE}
    assert traces(restore(desk, A, TWO)) == {TWO}
    desk.report(A, 0, phase=Phase.EXPIRED)
    ended = desk.report(A, 1, phase=Phase.EXPIRED)
    assert {one.trace for one in ended if one.topic == "expired"} == {ONE}
    begun = [one for one in ended if one.record.get("to_state") == State.RESTORING]
    assert traces(begun) == {TWO}
    (state,) = [one for one in ended if one.topic == "state"]
    assert (state.record["state"], state.trace) == ("RESTORING", TWO)
    assert {one.trace for one in desk.finish(A) if one.topic == "restored"} == {TWO}


def test_a_definition_that_brings_a_source_back_is_its_cause_until_the_event() -> None:
    desk = Desk()
    desk.expired(A)
    said = desk.take(DefinitionRead(A, Definition(A, Status.ACTIVE), trace=ONE))
    assert traces(said) == {ONE}
    assert {one.trace for one in desk.finish(A) if one.topic == "restored"} == {ONE}


def test_each_of_several_definitions_is_the_cause_of_its_own_source_alone() -> None:
    desk = Desk()
    found = desk.take(
        DefinitionRead(A, Definition(A, Status.ACTIVE), trace=ONE),
        DefinitionRead(B, Definition(B, Status.ACTIVE), trace=TWO),
        DefinitionRead(C, Definition(C, Status.ACTIVE)),
    )
    by_key = {key: {one.trace for one in found if one.key == key} for key in (A, B, C)}
    assert by_key == {A: {ONE}, B: {TWO}, C: {""}}


@pytest.mark.parametrize(("second", "expected"), [(None, ONE), (TWO, "")])
def test_a_use_belongs_to_a_definition_only_if_it_came_alone(
    second: str | None, expected: str
) -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    uses = '{"filter": "received_from_campaign", "campaign": "a"}'
    news = [DefinitionRead(B, Definition(B, Status.ACTIVE, filters=uses), trace=ONE)]
    if second is not None:
        news.append(DefinitionRead(C, Definition(C, Status.ACTIVE), trace=second))
    found = desk.take(*news)
    assert {one.trace for one in found if one.key == A} == {expected}


def test_records_are_read_with_their_trace_and_written_with_it() -> None:
    headers = [("traceparent", ONE.encode()), ("tracestate", b"x=1")]
    batches = [
        batch(TOPICS.catalog, (b"campaign:a", ACTIVE), (b"campaign:b", b"{"), headers=headers),
        batch(TOPICS.control, (None, b'{"type":"pause"}'), (None, b"{"), headers=headers),
    ]
    meanings = [item.meaning for item in read(TOPICS, batches, {}, NOW)]
    assert [getattr(one, "trace", None) for one in meanings] == [ONE] * 4
    outputs = (Output("state", "state", None, {}), Output("audit", "audit", None, {}, ONE))
    written = [
        Output(one.topic, "result", "r", dict.fromkeys(RESULT, "") | NUMBERS, one.trace)
        for one in outputs
    ]
    groups = groups_of(Decision(CoordinatorState(), tuple(written), ()), TOPICS, NOW, False)
    assert {group.topic: list(group.own_headers) for group in groups} == {
        TOPICS.state: [()],
        TOPICS.audit: [(("traceparent", ONE.encode()),)],
    }


RESULT = ("event_id", "request_id", "source", "outcome", "code", "message")
NUMBERS = {"outcome": "accepted", "done": 0, "total": 0, "time": 0}

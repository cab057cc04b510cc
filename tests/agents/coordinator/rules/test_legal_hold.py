"""A legal hold is evidence: who, why and since when, and only another person releases it."""

import pytest

from agents.coordinator.rules.explain import explain
from agents.terminal.lines import why
from schemas.records.lifecycle import CommandRefusal, SourceState, State
from tests.rigs.desk import DAY, MONTH3, START, Desk, decisions, of, outcomes

A = "campaign:a"


@pytest.fixture
def desk() -> Desk:
    """A stopped source under the legal hold of ann."""
    desk = Desk(keys=True)
    desk.define(A, "STOPPED")
    desk.command("hold", A, legal=True, reason="case 7", actor="ann", requested_by="ann")
    return desk


def refused(desk: Desk, code: CommandRefusal) -> bool:
    return outcomes(desk.said, A)[-1] == ("refused", code.value)


def test_it_says_who_why_and_since_when(desk: Desk) -> None:
    desk.restart()
    held = desk.source(A).held
    assert held is not None
    assert (held.by, held.reason, held.since, held.legal) == ("ann", "case 7", START, True)
    (entry,) = [one for one in of(desk.said, "audit") if one["decision"] == "hold"]
    assert (entry["by"], entry["reason"]) == ("ann", "case 7")
    assert "under legal hold" in entry["detail"]
    state = SourceState.from_record(of(desk.said, "state")[-1])
    assert state.held == held
    assert why(state) == "legal hold by ann since 2023-11-14 22:13:20Z: case 7"
    told = explain(state, desk.state.catalog, desk.policy, desk.now)
    assert "ann has it under legal hold since 2023-11-14" in told.summary
    assert "if it was released today it would expire" in told.summary


def test_a_source_under_it_does_not_expire_by_retention_or_command(desk: Desk) -> None:
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.HELD
    desk.command("expire", A, actor="bob")
    assert refused(desk, CommandRefusal.INVALID_COMMAND)
    desk.delete(A)
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.HELD


@pytest.mark.parametrize(
    "sender",
    [{"actor": "ann"}, {"requested_by": "bob"}, {"requested_by": "ann"}, {}],
    ids=["the same key", "another name without a key", "the same name without a key", "nobody"],
)
def test_only_a_proven_other_person_releases_it(desk: Desk, sender: dict[str, str]) -> None:
    said = desk.command("unhold", A, **sender)
    assert refused(desk, CommandRefusal.SECOND_PERSON)
    assert decisions(said) == ["unhold_refused"]
    assert desk.source(A).held is not None
    desk.restart()
    said = desk.command("unhold", A, actor="bob", reason="closed")
    assert outcomes(desk.said, A)[-1] == ("completed", None)
    assert desk.source(A).held is None
    (entry,) = [one for one in of(said, "audit") if one["decision"] == "unhold"]
    assert (entry["by"], entry["reason"]) == ("bob", "closed")
    assert entry["detail"] == "released from the legal hold of ann"


def test_it_needs_a_reason_and_a_proven_sender_where_there_are_keys() -> None:
    desk = Desk(keys=True)
    desk.define(A, "STOPPED")
    for sender in ({"actor": "ann"}, {"requested_by": "ann", "reason": "case 7"}):
        desk.command("hold", A, legal=True, **sender)
        assert refused(desk, CommandRefusal.INVALID_COMMAND)
        assert desk.source(A).held is None


def test_an_ordinary_hold_stays_simple_and_becomes_legal() -> None:
    desk = Desk(keys=True)
    desk.define(A, "STOPPED")
    desk.command("hold", A, actor="ann")
    desk.command("unhold", A, actor="ann")
    assert desk.source(A).held is None
    desk.command("hold", A, actor="bob")
    desk.now += DAY
    desk.command("hold", A, legal=True, reason="case 7", actor="ann")
    held = desk.source(A).held
    assert held is not None
    assert (held.by, held.since, held.legal) == ("ann", desk.now, True)
    # neither an ordinary hold nor another legal one takes its place
    desk.command("hold", A, actor="carl")
    desk.command("hold", A, legal=True, reason="other", actor="carl")
    assert desk.source(A).held == held


def test_without_keys_nobody_is_proven_and_anybody_releases_it() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.command("hold", A, legal=True, reason="case 7", requested_by="ann")
    held = desk.source(A).held
    assert held is not None
    assert (held.by, held.legal, held.needs_second) == ("ann (unverified)", True, False)
    desk.command("unhold", A, requested_by="ann")
    assert desk.source(A).held is None


def test_a_legal_hold_is_another_request_than_an_ordinary_one() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.command("hold", A, request_id="r", reason="case 7")
    desk.command("hold", A, request_id="r", reason="case 7", legal=True)
    held = desk.source(A).held
    assert held is not None
    assert not held.legal

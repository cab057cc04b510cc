"""The guards and notices of the sweep, and shards that do not answer."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agents.coordinator.rules.inputs import ArchiveFault
from agents.coordinator.rules.outputs import Output
from schemas.records.lifecycle import Phase, State
from streams.period import parse
from tests.rigs.desk import DAY, MONTH3, START, Desk, decisions, of, outcomes

A = "campaign:a"


def due(desk: Desk, count: int) -> list[str]:
    """This many stopped sources, all of them due."""
    names = [f"campaign:{number:03}" for number in range(count)]
    for name in names:
        desk.define(name, "STOPPED")
    desk.now += MONTH3 + DAY
    return names


def states(desk: Desk, names: Sequence[str]) -> set[State]:
    return {desk.source(name).state for name in names}


def refused(said: Sequence[Output]) -> bool:
    return outcomes(said, None)[-1] == ("refused", "invalid_command")


def test_a_sweep_of_too_many_asks_once_and_continues_when_confirmed() -> None:
    desk = Desk(sweep_confirm_share=0.5)
    desk.define(A)
    names = due(desk, 3)
    (asked,) = [one for one in of(desk.tick(), "audit") if one["source"] is None]
    assert asked["decision"] == "sweep_awaits_confirmation"
    assert asked["reason"] == f"3 of 4 hot sources are due at once: {', '.join(names)}"
    assert f"`emberline confirm {desk.state.sweep.question}`" in asked["detail"]
    assert decisions(desk.tick(DAY)) == []
    assert states(desk, names) == {State.STOPPED}
    desk.restart()
    assert "sweep_confirmed" in decisions(desk.command("confirm", desk.state.sweep.question))
    desk.restart()
    desk.tick()
    assert states(desk, names) == {State.EXPIRING}
    assert desk.state.sweep.approved == desk.state.sweep.question == ""


def test_resume_confirms_nothing() -> None:
    desk = Desk(sweep_confirm_share=0.5)
    names = due(desk, 3)
    desk.tick()
    desk.command("resume")
    desk.tick(DAY)
    assert states(desk, names) == {State.STOPPED}


def test_a_question_lapses_with_a_pause_and_with_a_change() -> None:
    desk = Desk(sweep_confirm_share=0.5)
    for number in range(20):
        desk.define(f"canvas:{number}")
    names = due(desk, 40)
    desk.tick()
    first = desk.state.sweep.question
    desk.command("pause")
    assert refused(desk.command("confirm", first))
    for name in names[:30]:
        desk.define(name, "STOPPED", stopped_at=desk.now)
    desk.now += 300 * DAY
    desk.command("resume")
    assert refused(desk.command("confirm", first))
    desk.tick()
    assert states(desk, names) == {State.STOPPED}
    second = desk.state.sweep.question
    assert second not in ("", first)
    desk.command("confirm", second)
    desk.command("hold", names[0])
    assert decisions(desk.tick()) == ["sweep_awaits_confirmation"]
    assert states(desk, names[1:]) == {State.STOPPED}


def test_what_becomes_due_after_the_question_is_not_confirmed_with_it() -> None:
    desk = Desk(sweep_confirm_share=0.5)
    names = due(desk, 3)
    desk.tick()
    desk.define("campaign:late", "STOPPED", stopped_at=desk.now - MONTH3 - 1)
    desk.command("confirm", desk.state.sweep.question)
    desk.tick()
    assert states(desk, names) == {State.EXPIRING}
    assert desk.source("campaign:late").state is State.STOPPED


@pytest.mark.parametrize("named", [(), ("x",), ("QUESTION", "x")])
def test_a_confirmation_names_what_is_asked_and_nothing_else(named: tuple[str, ...]) -> None:
    desk = Desk(sweep_confirm_share=0.5)
    assert refused(desk.command("confirm", "x"))
    names = due(desk, 3)
    desk.tick()
    question = desk.state.sweep.question
    said = desk.command("confirm", *(name.replace("QUESTION", question) for name in named))
    assert refused(said)
    assert question in of(said, "control_results")[-1]["message"]
    desk.tick()
    assert states(desk, names) == {State.STOPPED}


def test_the_share_is_of_hot_sources() -> None:
    desk = Desk()
    for number in range(5):
        desk.expired(f"canvas:{number}")
    desk.policy = replace(desk.policy, sweep_confirm_share=0.5)
    names = due(desk, 3)
    assert decisions(desk.tick()) == ["sweep_awaits_confirmation"]
    assert states(desk, names) == {State.STOPPED}


def test_a_share_that_is_just_allowed_does_not_ask() -> None:
    desk = Desk(sweep_confirm_share=0.5)
    desk.define(A, "STOPPED")
    desk.define("campaign:b")
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.EXPIRING


def test_a_large_sweep_is_done_in_parts_without_asking_again() -> None:
    desk = Desk(sweep_batch=2, sweep_confirm_share=0.8)
    names = [f"campaign:{number}" for number in range(5)]
    for name in names:
        desk.define(name, "STOPPED")
    desk.tick(MONTH3 + DAY)
    desk.tick()
    desk.command("confirm", desk.state.sweep.question)
    for expiring in (2, 4, 5):
        desk.tick()
        found = [desk.source(name).state for name in names]
        assert found.count(State.EXPIRING) == expiring


def test_nothing_expires_while_the_clocks_differ() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    assert decisions(desk.tick(MONTH3 + DAY, skew_ms=-300_001)) == ["sweep_suspended"]
    assert decisions(desk.tick(DAY, skew_ms=400_000)) == []
    assert desk.source(A).state is State.STOPPED
    assert "sweep_continued" in decisions(desk.tick(DAY, skew_ms=300_000))
    assert desk.source(A).state is State.EXPIRING


FAULT = "topic archive: retention.ms is 1000, must be -1. kafka-configs.sh --alter"


def test_nothing_expires_while_the_archive_would_lose_it() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    (audited,) = of(desk.take(ArchiveFault(FAULT)), "audit")
    assert (audited["decision"], audited["reason"]) == ("sweep_suspended", FAULT)
    assert desk.take(ArchiveFault(FAULT)) == [], "said once"
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.STOPPED
    refused = desk.command("expire", A)
    assert outcomes(refused, A) == [("refused", "invalid_command")]
    assert FAULT in of(refused, "control_results")[0]["message"]
    desk.restart()
    assert desk.state.sweep.archive_fault == FAULT

    assert decisions(desk.take(ArchiveFault(""))) == ["sweep_continued"]
    desk.tick()
    assert desk.source(A).state is State.EXPIRING, "what was due meanwhile"


def test_an_expired_source_comes_back_while_the_archive_would_lose_it() -> None:
    """It is the way to save it."""
    desk = Desk()
    desk.expired(A)
    desk.take(ArchiveFault(FAULT))
    desk.command("restore", A)
    assert desk.source(A).state is State.RESTORING


def test_unknown_skew_does_not_hold_up_the_sweep() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY, skew_ms=None)
    assert desk.source(A).state is State.EXPIRING


def test_a_clock_set_back_does_not_put_off_the_sweep() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", stopped_at=START - MONTH3 - 10 * DAY)
    desk.now = START + 3650 * DAY
    desk.command("hold", A)
    desk.tick()
    desk.now = START
    desk.command("unhold", A)
    desk.tick()
    assert desk.source(A).state is State.EXPIRING


def test_each_notice_once_for_a_due_date() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", name="Spring", tags=("x",))
    due_at = desk.source(A).due_at or 0
    notices = []
    for _ in range(95):
        notices += of(desk.tick(DAY), "expiring_soon")
    assert [(one["notice"], one["days_left"]) for one in notices] == [("P30D", 30), ("P7D", 7)]
    assert {one["due_at"] for one in notices} == {due_at}
    assert len({one["event_id"] for one in notices}) == 2


def test_notices_survive_a_restart_and_begin_again_for_a_new_due_date() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    due_at = desk.source(A).due_at or 0
    desk.now = due_at - 5 * DAY
    assert [one["notice"] for one in of(desk.tick(), "expiring_soon")] == ["P7D"]
    desk.restart()
    assert not of(desk.tick(DAY), "expiring_soon")
    desk.define(A)
    desk.define(A, "STOPPED", stopped_at=START + DAY)
    assert len(of(desk.tick(DAY), "expiring_soon")) == 1


def test_no_notice_longer_than_the_retention() -> None:
    desk = Desk(retention=parse("P10D"))
    desk.define(A, "STOPPED")
    notices = []
    for _ in range(9):
        notices += of(desk.tick(DAY), "expiring_soon")
    assert [one["notice"] for one in notices] == ["P7D"]


def test_no_notice_while_exempt_or_held() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.command("hold", A)
    assert not of(desk.tick(80 * DAY), "expiring_soon")


def test_a_shard_that_does_not_answer_is_stuck_shown_and_asked_again() -> None:
    desk = Desk(partitions=3, shard_deadline_ms=1000)
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    version = desk.source(A).version
    desk.report(A, 1)
    assert desk.tick(999) == []
    said = desk.tick(1)
    assert decisions(said) == ["stuck"]
    (state,) = of(said, "state")
    assert (state["stuck"], state["version"]) == ([0, 2], version)
    assert "shard 0, shard 2" in state["message"]
    # a person reads it: a moment, not milliseconds
    assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ; see", state["message"])
    again = desk.tick(1000)
    assert decisions(again) == []
    assert len(of(again, "state")) == 1
    (state,) = of(desk.report(A, 0), "state")
    assert state["stuck"] == [2]
    desk.report(A, 2)
    assert desk.source(A).state is State.EXPIRED
    (state,) = of(desk.said, "state")[-1:]
    assert (state["stuck"], state["message"]) == ([], None)


def test_stale_doubled_and_foreign_reports_change_nothing() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    version = desk.source(A).version
    desk.report(A, 0)
    before = desk.state.sources
    desk.report(A, 0, interactions=99)
    desk.report(A, 1, version=version - 1)
    desk.report(A, 1, version=version + 1)
    desk.report(A, 1, phase=Phase.RESTORED)
    desk.report("campaign:nobody", 1, phase=Phase.EXPIRED)
    assert desk.state.sources == before
    assert decisions(desk.report(A, 2)) == ["report_ignored"]
    assert desk.state.sources == before
    desk.report(A, 1)
    assert desk.report(A, 1, phase=Phase.EXPIRED, version=version) == []


@pytest.mark.parametrize("change", ["hold", "name", "reference"])
def test_work_under_way_keeps_its_version_whatever_else_changes(change: str) -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    version = desk.source(A).version
    desk.report(A, 0)
    if change == "hold":
        said = desk.command("hold", A)
    elif change == "name":
        said = desk.define(A, "STOPPED", name="new")
    else:
        said = desk.define("canvas:b", references=(A,))
    shown = [one for one in of(said, "state") if one["source"] == A]
    assert [one["version"] for one in shown] == [version]
    desk.report(A, 1)
    assert desk.source(A).state is State.EXPIRED

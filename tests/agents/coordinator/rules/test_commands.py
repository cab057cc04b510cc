"""Commands of operators: accepted, refused with each code, repeated."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agents.coordinator.rules import requests
from agents.coordinator.rules.inputs import CommandRead, CommandUnreadable
from agents.coordinator.rules.outputs import Output
from schemas.records import codec
from schemas.records.lifecycle import Command, Phase, State
from tests.rigs.desk import DAY, MONTH3, START, Desk, decisions, of, outcomes

A = "campaign:a"
B = "canvas:b"
DONE = [("accepted", None), ("completed", None)]


def test_restore_by_name_has_results_from_accepted_to_completed() -> None:
    desk = Desk()
    desk.expired(A)
    said = desk.command("restore", A)
    assert outcomes(said, A) == [("accepted", None)]
    assert outcomes(said, None) == [("accepted", None)]
    assert desk.source(A).state is State.RESTORING
    said = desk.report(A, 0)
    (progress,) = of(said, "control_results")
    assert (progress["outcome"], progress["done"], progress["total"]) == ("progress", 1, 2)
    said = desk.report(A, 1)
    assert outcomes(said, A) == [("completed", None)]
    (whole,) = [r for r in of(said, "control_results") if r["source"] is None]
    assert (whole["outcome"], whole["done"], whole["total"]) == ("completed", 1, 1)


def test_restore_by_tag_with_mixed_outcomes() -> None:
    desk = Desk()
    desk.expired(A, tags=("x",))
    desk.expired("campaign:c", tags=("x",))
    desk.define(B, tags=("x",))
    said = desk.command("restore", "campaign:zz", tag="x")
    assert outcomes(said, A) == outcomes(said, "campaign:c") == [("accepted", None)]
    assert outcomes(said, B) == [("refused", "not_expired")]
    assert outcomes(said, "campaign:zz") == [("refused", "unknown_source")]
    assert outcomes(said, None) == [("accepted", None)]
    assert outcomes(desk.finish(A), None) == []
    said = desk.finish("campaign:c")
    (whole,) = [r for r in of(said, "control_results") if r["source"] is None]
    assert (whole["outcome"], whole["done"], whole["total"]) == ("completed", 2, 4)


def refused(desk: Desk, code: str, kind: str = "restore", source: str = A) -> None:
    before = desk.state.sources
    said = desk.command(kind, source)
    assert outcomes(said, source) == [("refused", code)]
    assert outcomes(said, None) == [("refused", code)]
    assert decisions(said) == [f"{kind}_refused"]
    assert desk.state.sources == before


def test_refused_unknown_source() -> None:
    desk = Desk()
    for kind in ("restore", "hold", "unhold", "cancel", "expire"):
        refused(desk, "unknown_source", kind, "campaign:nobody")
    desk.report("campaign:x", 0, phase=Phase.SEEN)
    for kind in ("restore", "cancel", "expire"):
        refused(desk, "unknown_source", kind, "campaign:x")
    said = of(desk.command("restore", "campaign:x"), "control_results")
    assert "publish its definition" in next(r["message"] for r in said if r["source"])
    # what has no definition yet can be held before it gets one
    assert outcomes(desk.command("hold", "campaign:x"), None) == DONE


@pytest.mark.parametrize("status", ["ACTIVE", "STOPPED"])
def test_refused_not_expired(status: str) -> None:
    desk = Desk()
    desk.define(A, status)
    refused(desk, "not_expired")


def test_refused_already_restoring() -> None:
    desk = Desk()
    desk.expired(A)
    desk.command("restore", A)
    refused(desk, "already_restoring")


def test_refused_nothing_archived() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    desk.finish(A, interactions=0, segments=0, bytes=0)
    refused(desk, "nothing_archived")
    # late events are something to bring back
    desk.report(A, 0, phase=Phase.SEEN, interactions=5)
    assert outcomes(desk.command("restore", A), A) == [("accepted", None)]


def test_late_rows_that_come_while_a_source_expires_are_something_to_bring_back() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    desk.report(A, 0, phase=Phase.SEEN, interactions=5)
    desk.finish(A, interactions=0, segments=0, bytes=0)
    assert outcomes(desk.command("restore", A), A) == [("accepted", None)]
    desk.finish(A, interactions=0, segments=0, bytes=0)
    # told of that expiry, not of the next
    desk.tick(MONTH3 + DAY)
    desk.finish(A, interactions=0, segments=0, bytes=0)
    refused(desk, "nothing_archived")


def test_refused_legacy_deleted() -> None:
    desk = Desk()
    desk.expired(A, legacy_deleted=True)
    refused(desk, "legacy_deleted")
    desk.define(A, "ACTIVE", legacy_deleted=True)
    assert desk.source(A).state is State.EXPIRED


def test_refused_not_restoring() -> None:
    desk = Desk()
    desk.expired(A)
    refused(desk, "not_restoring", "cancel")


def test_refused_invalid_command() -> None:
    desk = Desk()
    desk.define(A)
    refused(desk, "invalid_command", "expire")
    for kind, facts in (("explode", {}), ("erase", {"users": ("u",)}), ("restore", {})):
        said = desk.command(kind, **facts)
        assert outcomes(said, None) == [("refused", "invalid_command")]
    said = desk.take(CommandUnreadable("control-0-7", "garbage"))
    assert outcomes(said, None) == [("refused", "invalid_command")]
    said = desk.command("restore", tag="nowhere")
    assert outcomes(said, None) == [("refused", "unknown_source")]


def test_expire_by_an_operator_says_why_it_cannot() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, references=(A,))
    (whole, _) = reversed(of(desk.command("expire", A), "control_results"))
    assert whole["message"] == "is in use by canvas:b (references)"
    desk.define(B)
    desk.command("hold", A)
    refused(desk, "invalid_command", "expire")
    desk.command("unhold", A)
    assert outcomes(desk.command("expire", A), None) == [("accepted", None)]
    refused(desk, "already_expired", "expire")
    said = desk.finish(A)
    (event,) = of(said, "expired")
    assert event["reason"] == "operator"
    assert outcomes(said, None) == [("completed", None)]


def test_restore_of_an_expiring_source_comes_after() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    version = desk.source(A).version
    assert outcomes(desk.command("restore", A), A) == [("accepted", None)]
    assert desk.source(A).version == version
    refused(desk, "already_restoring")
    assert len(of(desk.finish(A), "expired")) == 1
    assert desk.source(A).state is State.RESTORING
    assert outcomes(desk.finish(A), None) == [("completed", None)]


def test_cancel_goes_back_without_epoch_or_event() -> None:
    desk = Desk()
    archived = desk.expired(A).archived
    desk.command("restore", A)
    desk.report(A, 0)
    said = desk.command("cancel", A)
    restore = [r for r in of(said, "control_results") if r["request_id"] == "r1"]
    assert [(r["source"], r["outcome"], r["code"]) for r in restore] == [
        (A, "failed", "cancelled"),
        (None, "failed", "cancelled"),
    ]
    assert desk.source(A).state is State.EXPIRING
    said = desk.finish(A)
    assert not of(said, "expired")
    assert (desk.source(A).state, desk.source(A).epoch) == (State.EXPIRED, 1)
    assert desk.source(A).archived == archived
    assert outcomes(said, None) == [("completed", None)]
    desk.command("restore", A)
    assert len(of(desk.finish(A), "restored")) == 1


def test_cancel_by_request_id_of_what_is_still_open() -> None:
    desk = Desk()
    desk.expired(A)
    desk.expired("campaign:c")
    desk.command("restore", A, "campaign:c", request_id="both")
    desk.finish(A)
    said = desk.command("cancel", "both")
    assert outcomes(said, A) == []
    assert desk.source("campaign:c").state is State.EXPIRING
    both = [r for r in of(said, "control_results") if r["request_id"] == "both"]
    assert [(r["source"], r["outcome"]) for r in both][-1] == (None, "completed")


def test_a_request_with_the_name_of_a_source_does_not_hide_it_from_cancel() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, "STOPPED")
    desk.command("expire", A)
    desk.command("expire", B, request_id=A)
    said = desk.command("cancel", A)
    assert outcomes(said, A)[0] == ("accepted", None)
    assert desk.source(A).state is State.RESTORING
    assert desk.source(B).state is State.EXPIRING


def test_cancel_before_the_restore_began() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    desk.command("restore", A)
    said = desk.command("cancel", A)
    assert outcomes(said, A) == [DONE[0], ("failed", "cancelled"), DONE[1]]
    desk.finish(A)
    assert desk.source(A).state is State.EXPIRED


def test_dry_run_judges_and_does_nothing() -> None:
    desk = Desk()
    desk.expired(A)
    before = desk.state.sources
    said = desk.command("restore", A, B, dry_run=True)
    assert outcomes(said, A) == DONE
    assert outcomes(said, B) == [("refused", "unknown_source")]
    assert outcomes(said, None) == DONE
    assert all("dry run" in r["message"] for r in of(said, "control_results") if r["source"] == A)
    assert desk.state.sources == before
    assert outcomes(desk.command("pause", dry_run=True), None) == DONE
    assert not desk.state.sweep.paused


def test_the_same_request_id_gets_its_results_again_and_is_done_once() -> None:
    desk = Desk()
    desk.expired(A)
    first = desk.command("restore", A, B, request_id="same")
    ids = {(r["source"], r["event_id"]) for r in of(first, "control_results")}
    desk.now += DAY
    desk.restart()
    again = desk.command("restore", B, A, request_id="same", requested_by="ann", reason="why")
    assert {(r["source"], r["event_id"]) for r in of(again, "control_results")} == ids
    assert not of(again, "state")
    desk.finish(A)
    done = desk.command("restore", A, B, request_id="same")
    assert outcomes(done, A) == [("completed", None)]
    assert desk.source(A).state is State.STOPPED


@pytest.mark.parametrize(
    ("kind", "sources", "facts"),
    [
        ("expire", (A,), {}),
        ("pause", (), {}),
        ("explode", (A,), {}),
        ("hold", (A, B), {}),
        ("hold", (B,), {}),
        ("hold", (A,), {"tag": "x"}),
        ("hold", (A,), {"dry_run": True}),
    ],
)
def test_another_command_under_a_known_request_id_is_refused(
    kind: str, sources: tuple[str, ...], facts: dict[str, Any]
) -> None:
    desk = Desk()
    desk.define(A, "STOPPED", tags=("x",))
    desk.define(B)
    first = of(desk.command("hold", A, request_id="l1"), "control_results")
    desk.restart()
    before = desk.state
    said = desk.command(kind, *sources, request_id="l1", **facts)
    assert desk.state == before
    (refusal,) = of(said, "control_results")
    assert (refusal["request_id"], refusal["source"]) == ("l1", None)
    assert (refusal["outcome"], refusal["code"]) == ("refused", "invalid_command")
    assert "used before, for" in refusal["message"]
    assert "hold" in refusal["message"]
    assert refusal["event_id"] not in {one["event_id"] for one in first}
    assert decisions(said) == [f"{kind}_refused"]
    again = desk.command(kind, *sources, request_id="l1", **facts)
    assert of(again, "control_results")[0]["event_id"] == refusal["event_id"]
    assert outcomes(desk.command("hold", A, request_id="l1"), None) == [("completed", None)]


def test_a_request_of_which_only_the_type_is_kept_is_known_by_that() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.command("hold", A, request_id="l1")
    known = replace(desk.state.requests["l1"], asked="")
    desk.state = replace(desk.state, requests={"l1": known})
    again = desk.command("hold", A, B, request_id="l1")
    assert outcomes(again, None) == [("completed", None)]
    other = desk.command("expire", A, request_id="l1")
    assert outcomes(other, None) == [("refused", "invalid_command")]


def test_request_ids_are_forgotten_after_thirty_days_but_not_while_open() -> None:
    desk = Desk()
    desk.expired(A)
    desk.command("restore", A, request_id="open")
    desk.command("hold", A, request_id="done")
    desk.tick(31 * DAY)
    assert set(desk.state.requests) == {"open"}
    desk.restart()
    assert set(desk.state.requests) == {"open"}
    assert set(desk.state.results) == {("open", A)}


def test_requests_and_results_have_a_bound_and_those_with_an_effect_stay_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "MOST_RESULTS", 10)
    desk = Desk()
    for name in "abcd":
        desk.expired(f"campaign:{name}", tags=("t",))
    desk.command("restore", A, request_id="open")
    desk.command("hold", "campaign:b", request_id="held")
    for number in range(10):
        desk.now += 60_000
        desk.command("restore", tag="t", dry_run=True, request_id=f"dry{number}")
    assert len(desk.state.results) <= 14
    assert {"open", "held", "dry8", "dry9"} <= desk.state.requests.keys()
    desk.restart()
    assert len(desk.state.results) <= 14
    assert "dry0" not in desk.state.requests
    desk.now += DAY
    for number in range(3):
        desk.command("restore", tag="t", dry_run=True, request_id=f"late{number}")
    assert "held" not in desk.state.requests
    assert "open" in desk.state.requests


def test_a_repetition_gets_the_results_of_the_first_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "RETOLD", 2)
    desk = Desk()
    names = [f"campaign:{name}" for name in "abcd"]
    for name in names:
        desk.define(name, "STOPPED")
    desk.command("hold", *names, request_id="h")
    said = of(desk.command("hold", *names, request_id="h"), "control_results")
    assert [one["source"] for one in said] == [*names[:2], None]


def test_default_request_id_is_the_position() -> None:
    desk = Desk()
    said = desk.take(CommandRead(Command("pause"), "control-0-5"))
    assert {r["request_id"] for r in of(said, "control_results")} == {"control-0-5"}


def test_hold_of_an_active_or_hidden_source_is_recorded() -> None:
    desk = Desk()
    desk.define(A)
    assert outcomes(desk.command("hold", A), None) == DONE
    assert desk.source(A).state is State.ACTIVE
    desk.define(A, "STOPPED")
    assert desk.source(A).state is State.HELD
    desk.expired("campaign:c")
    version = desk.source("campaign:c").version
    desk.command("hold", "campaign:c")
    assert desk.source("campaign:c").version == version
    desk.command("restore", "campaign:c")
    desk.finish("campaign:c")
    assert desk.source("campaign:c").state is State.HELD


def test_progress_of_a_large_request_is_reported_as_a_whole() -> None:
    desk = Desk()
    names = [f"campaign:{number}" for number in range(101)]
    for name in names:
        desk.define(name, "STOPPED")
    desk.tick(MONTH3 + DAY)
    for name in names:
        desk.finish(name)
    desk.command("restore", *names)
    desk.now += 1_000
    assert of(desk.report(names[0], 0), "control_results") == []
    (source, whole) = of(desk.report(names[0], 1), "control_results")
    assert source["outcome"] == "completed"
    assert (whole["source"], whole["outcome"]) == (None, "progress")
    assert (whole["done"], whole["total"]) == (1, 101)
    assert outcomes(desk.finish(names[1]), None) == []


def test_pause_and_resume() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    assert outcomes(desk.command("pause", requested_by="ann"), None) == DONE
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.STOPPED
    said = desk.command("resume", requested_by="ann")
    assert decisions(said) == ["sweep_resumed"]
    desk.tick()
    assert desk.source(A).state is State.EXPIRING


def written(said: Sequence[Output], topic: str) -> int:
    """The bytes of all records of one topic."""
    return sum(len(codec.encode(one.schema, one.record)) for one in said if one.topic == topic)


def test_a_command_that_names_very_many_unknown_sources_makes_little_of_it() -> None:
    names = tuple(f"campaign:nobody-{number}" for number in range(50_000))
    value = codec.encode("command", {"type": "restore", "sources": list(names)})
    desk = Desk()
    for number in range(20):
        said = desk.command("restore", *names, request_id=f"r{number}")
        assert written(said, "control_results") < 20_000 + len(value) // 50
        assert written(said, "audit") < 10_000
        (whole,) = [one for one in of(said, "control_results") if one["source"] is None]
        assert (whole["code"], whole["total"]) == ("unknown_source", 50_000)
        assert "49900 more are refused: unknown_source" in whole["message"]
    assert len(desk.state.results) <= 2_000
    *_, last = of(desk.said, "audit")
    assert last["reason"] == "50000 unknown_source"
    desk.tick(40 * DAY)
    assert not desk.state.results


def test_named_sources_are_counted_once() -> None:
    desk = Desk()
    desk.expired()
    said = desk.command("restore", *(A,) * 50_001, request_id="r")
    assert outcomes(said, A) == [("accepted", None)]


def test_a_tag_that_nothing_can_be_done_for_is_counted() -> None:
    desk = Desk()
    for number in range(3_000):
        desk.define(f"campaign:{number}", tags=("all",))
    said = desk.command("restore", tag="all")
    assert written(said, "audit") < 10_000
    assert len(of(said, "control_results")) == 1_001
    assert "2000 more are refused: not_expired" in of(said, "control_results")[-1]["message"]


def test_some_accepted_among_very_many_that_are_unknown() -> None:
    desk = Desk()
    desk.expired()
    names = (*(f"campaign:nobody-{number}" for number in range(500)), A)
    desk.command("restore", *names, request_id="r")
    desk.restart()
    said = desk.finish(A)
    (whole,) = [one for one in of(said, "control_results") if one["source"] is None]
    assert (whole["outcome"], whole["done"], whole["total"]) == ("completed", 1, 501)


def test_what_is_repeated_for_each_source_is_short() -> None:
    desk = Desk()
    names = [f"campaign:{number}" for number in range(1_000)]
    for name in names:
        desk.define(name, "STOPPED")
    said = desk.command("hold", *names, reason="r" * 10_000)
    assert sum(written(said, topic) for topic in ("audit", "state", "control_results")) < 1_500_000
    assert desk.source(names[0]).held is not None


def test_a_repeated_command_gets_all_results_again_once_in_a_batch() -> None:
    desk = Desk()
    desk.expired()
    names = (A, *(f"campaign:{number}" for number in range(50)))
    again = CommandRead(Command("restore", names, request_id="r"), "p")
    desk.take(again)
    said = desk.take(*[again] * 1_000)
    assert len([one for one in of(said, "control_results") if one["source"] is not None]) == 51


def test_who_asks_is_marked_as_unverified_unless_that_is_proven() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, "STOPPED")
    for by in ("ann", "key ops", "ann (unverified)"):
        said = desk.command("hold", A, requested_by=by)
        assert {one["by"] for one in of(said, "audit") if one["by"]} == {f"{by} (unverified)"}
        assert of(said, "state")[-1]["held"]["by"] == f"{by} (unverified)"
        desk.command("unhold", A)
    said = desk.command("hold", B, requested_by="ann", actor="key ops")
    assert [one["by"] for one in of(said, "audit") if one["decision"] == "hold"] == ["key ops"]
    assert of(said, "state")[-1]["held"]["by"] == "key ops"
    desk.expired("campaign:c")
    said = desk.command("restore", "campaign:c", requested_by="ann")
    (moved,) = [one for one in of(said, "audit") if one["to_state"] == "RESTORING"]
    assert moved["by"] == "ann (unverified)"
    (told,) = of(desk.finish("campaign:c"), "restored")
    assert told["requested_by"] == "ann"


def test_an_expiry_that_hangs_is_cancelled_and_leaves_no_event() -> None:
    desk = Desk(shard_deadline_ms=1_000)
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    desk.report(A, 0)
    said = desk.tick(1_000)
    (state,) = of(said, "state")
    assert "shard 1 not done" in state["message"]
    assert f"`emberline cancel {A}`" in state["message"]
    said = desk.command("restore", A, request_id="later")
    assert f"shard 1 not done: `emberline cancel {A}`" in of(said, "control_results")[1]["message"]
    # the first cancels the restore that waits, the second the expiry
    desk.command("cancel", A)
    said = desk.command("cancel", A, request_id="cancel")
    assert desk.source(A).state is State.RESTORING
    desk.restart()
    said = desk.finish(A)
    assert outcomes(said, A)[-1] == ("completed", None)
    assert "expiry_cancelled" in decisions(said)
    assert not of(desk.said, "expired")
    assert not of(desk.said, "restored")
    assert (desk.source(A).state, desk.source(A).epoch) == (State.STOPPED, 0)
    assert desk.source(A).due_because == "restored, then P3M"
    desk.tick(MONTH3 + DAY)
    desk.finish(A)
    assert [one["epoch"] for one in of(desk.said, "expired")] == [1]


def test_a_cancelled_cancellation_is_what_was_cancelled() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.command("expire", A, request_id="expire")
    said = desk.command("cancel", A)
    assert [
        one["code"] for one in of(said, "control_results") if one["request_id"] == "expire"
    ] == [
        "cancelled",
        "cancelled",
    ]
    desk.command("cancel", A)
    desk.finish(A)
    assert [one["epoch"] for one in of(desk.said, "expired")] == [1]
    desk.command("restore", A)
    desk.command("cancel", A)
    desk.command("cancel", A)
    desk.finish(A)
    assert [one["epoch"] for one in of(desk.said, "restored")] == [1]


def test_the_retention_of_an_imported_source_runs_from_its_import() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", stopped_at=START - 3650 * DAY)
    desk.define(B)
    said = desk.command("imported", A, B, "campaign:new", A, reason="import of x.avro")
    assert outcomes(said, None) == [("completed", None)]
    assert len([one for one in of(said, "audit") if one["decision"] == "imported"]) == 1
    desk.restart()
    desk.tick(DAY)
    assert desk.source(A).state is State.STOPPED
    assert desk.source(A).due_because == "imported, then P3M"
    desk.define("campaign:new", "STOPPED", stopped_at=START - 3650 * DAY)
    desk.tick(DAY)
    assert desk.source("campaign:new").state is State.STOPPED
    desk.tick(MONTH3)
    assert {desk.source(name).state for name in (A, "campaign:new")} == {State.EXPIRING}
    assert desk.source(B).state is State.ACTIVE


@pytest.mark.parametrize("names", [(), ("segment:s",), ("campaign:",), (A, "x" * 900)])
def test_an_import_names_sources(names: tuple[str, ...]) -> None:
    desk = Desk()
    said = desk.command("imported", *names)
    assert outcomes(said, None) == [("refused", "invalid_command")]
    assert not desk.state.sources


def test_importing_what_is_hidden_brings_nothing_back() -> None:
    desk = Desk()
    desk.expired()
    version = desk.source(A).version
    desk.command("imported", A)
    assert (desk.source(A).state, desk.source(A).version) == (State.EXPIRED, version)


def test_a_misspelt_command_gets_the_nearest_as_a_hint() -> None:
    (whole,) = of(Desk().command("restor", A), "control_results")
    assert whole["code"] == "invalid_command"
    assert "Did you mean restore?" in whole["message"]

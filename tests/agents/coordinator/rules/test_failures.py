"""Failure is per source: what the coordinator makes of shards that cannot do their part."""

from typing import Any

import pytest

from agents.coordinator.rules.failures import MEANINGS, REMEDIES
from schemas.records.lifecycle import FailureCode, Phase, SourceState, State
from tests.rigs.desk import DAY, MONTH3, Desk, decisions, of, outcomes

A, B = "campaign:a", "campaign:b"
PLACE = "emberline.archive[1]@12"
DAMAGE: dict[str, Any] = {
    "code": FailureCode.ARCHIVE_DAMAGED.value,
    "place": PLACE,
    "segment": "f00",
    "detail": f"{PLACE}: segment f00: its 9 bytes do not have the checksum 00",
    "checksum": "",
}


@pytest.fixture
def desk() -> Desk:
    """Two sources in the archive."""
    desk = Desk()
    for source in (A, B):
        desk.define(source, "STOPPED")
    desk.tick(MONTH3 + DAY)
    for source in (A, B):
        desk.finish(source)
    return desk


def test_a_hundred_restores_with_a_damaged_one_give_99_completed_and_one_failed() -> None:
    desk = Desk()
    names = [f"campaign:{number:03}" for number in range(100)]
    for name in names:
        desk.define(name, "STOPPED")
    desk.tick(MONTH3 + DAY)
    for name in names:
        desk.finish(name)
    desk.command("restore", *names, request_id="all")
    epoch = desk.source(names[7]).epoch
    for name in names:
        if name == names[7]:
            desk.report(name, 0)
            desk.report(name, 1, phase=Phase.FAILED, **DAMAGE)
        else:
            desk.finish(name)
    desk.restart()
    results = {name: outcomes(desk.said, name)[-1] for name in names}
    assert results.pop(names[7]) == ("failed", FailureCode.ARCHIVE_DAMAGED)
    assert set(results.values()) == {("completed", None)}
    assert outcomes(desk.said, None)[-1] == ("completed", None)
    (whole,) = [one for one in of(desk.said, "control_results") if one["source"] is None][-1:]
    assert whole["message"] == "99 of 100 completed"
    # it goes back, in every shard, without an expiry event of its own
    failed = desk.source(names[7])
    assert failed.state is State.EXPIRING
    events = len(of(desk.said, "expired"))
    desk.finish(names[7])
    failed = desk.source(names[7])
    assert (failed.state, failed.epoch) == (State.EXPIRED, epoch)
    assert len(of(desk.said, "expired")) == events


def test_a_failed_restore_names_the_record_and_the_remedy_until_it_succeeds(desk: Desk) -> None:
    desk.command("restore", A, request_id="r")
    said = desk.report(A, 1, phase=Phase.FAILED, **DAMAGE)
    assert decisions(said) == ["restore_failed", "expiring"]
    (told,) = [one for one in of(said, "audit") if one["decision"] == "restore_failed"]
    assert (told["reason"], told["request_id"]) == (FailureCode.ARCHIVE_DAMAGED, "r")
    (result,) = [one for one in of(said, "control_results") if one["source"] == A]
    assert (result["outcome"], result["code"]) == ("failed", "archive_damaged")
    for text in (told["detail"], result["message"]):
        assert PLACE in text
        assert "segment f00" in text
        assert "restore the source again" in text
    assert decisions(desk.finish(A)) == ["returned_to_archive"]
    desk.restart()
    shown = SourceState.from_record(of(desk.said, "state")[-1])
    assert shown.failure is not None
    assert (shown.failure.place, shown.failure.segment, shown.failure.shard) == (PLACE, "f00", 1)
    assert shown.failure.final
    assert shown.failure.remedy == REMEDIES[FailureCode.ARCHIVE_DAMAGED]
    # a new restore tells nothing of the former one, and may fail again
    desk.command("restore", A)
    assert desk.source(A).failure is None
    desk.report(A, 0, phase=Phase.FAILED, **DAMAGE)
    desk.finish(A)
    desk.command("restore", A)
    desk.finish(A)
    assert desk.source(A).state is State.STOPPED
    assert desk.source(A).failure is None


def test_a_failure_that_comes_twice_or_late_changes_nothing(desk: Desk) -> None:
    desk.command("restore", A)
    version = desk.source(A).version
    desk.report(A, 0, phase=Phase.FAILED, **DAMAGE)
    for partition in (0, 1):
        again = desk.report(A, partition, phase=Phase.FAILED, version=version, **DAMAGE)
        assert again == []
    desk.finish(A)
    assert desk.report(A, 1, phase=Phase.FAILED, version=version, **DAMAGE) == []
    assert desk.source(B).state is State.EXPIRED


def test_an_expiry_that_cannot_be_undone_happens_and_is_announced(desk: Desk) -> None:
    """Its shards have moved a part to the archive, and cannot bring that part back."""
    desk.command("restore", A)
    desk.finish(A)
    desk.command("expire", A)
    desk.report(A, 0)
    desk.command("cancel", A)
    assert desk.source(A).state is State.RESTORING
    desk.report(A, 0, phase=Phase.FAILED, **DAMAGE)
    epoch = desk.source(A).epoch
    (event,) = of(desk.finish(A), "expired")
    assert event["epoch"] == desk.source(A).epoch == epoch + 1
    assert desk.source(A).failure is not None


def test_a_shard_that_cannot_go_on_is_shown_at_once_and_until_it_does(desk: Desk) -> None:
    desk.command("restore", A)
    silent: dict[str, Any] = {
        "code": FailureCode.ARCHIVE_SILENT.value,
        "place": PLACE,
        "detail": f"{PLACE}: the archive could not be read for 30 s",
        "checksum": "",
    }
    said = desk.report(A, 1, phase=Phase.DELAYED, **silent)
    assert decisions(said) == ["stuck"]
    (state,) = of(said, "state")
    assert (state["stuck"], state["state"]) == ([1], "RESTORING")
    assert state["failure"]["code"] == "archive_silent"
    assert not state["failure"]["final"]
    for part in ("shard 1", PLACE, "it tries again by itself", f"emberline cancel {A}"):
        assert part.replace("it tries", "the shard tries") in state["message"]
    # told again it is not said again, and a restart keeps it
    assert desk.report(A, 1, phase=Phase.DELAYED, **silent) == []
    desk.restart()
    desk.report(A, 0)
    desk.report(A, 1)
    source = desk.source(A)
    assert (source.state, source.failure, source.message) == (State.STOPPED, None, None)


def test_an_expiry_that_copies_again_is_in_the_audit(desk: Desk) -> None:
    desk.command("restore", A)
    desk.finish(A)
    desk.command("expire", A)
    said = desk.report(A, 1, phase=Phase.MENDED, **DAMAGE)
    assert decisions(said) == ["archive_mended"]
    assert of(said, "audit")[0]["detail"] == DAMAGE["detail"]
    desk.finish(A)
    assert desk.source(A).failure is None


def test_every_code_has_a_meaning_and_a_remedy() -> None:
    assert set(MEANINGS) == set(REMEDIES) == set(FailureCode)


def test_a_code_of_a_later_version_is_shown_as_it_is(desk: Desk) -> None:
    desk.command("restore", A)
    desk.report(A, 1, phase=Phase.FAILED, **{**DAMAGE, "code": "later"})
    failure = desk.source(A).failure
    assert failure is not None
    assert (failure.code, failure.remedy) == ("later", "")

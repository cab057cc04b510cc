"""How far the shards are is written for the workers, at most once a second, and never read back."""

from typing import Any

from agents.coordinator.rules import ledger
from agents.coordinator.rules.state import WorkProgress
from schemas.records.lifecycle import Phase
from tests.rigs.desk import DAY, MONTH3, Desk

A = "campaign:a"


def written(desk: Desk, since: int) -> list[WorkProgress | None]:
    """The records of A's progress that were written after the first `since` of the log."""
    return [
        None if value is None else ledger.parsed(key, value)
        for key, value in desk.log[since:]
        if key == f"p/{A}"
    ]


def restoring(**sizes: Any) -> Desk:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    desk.finish(A, segments=10, bytes=500)
    desk.command("restore", A, request_id="r")
    return desk


def test_a_restore_is_measured_against_what_the_archive_has() -> None:
    desk = restoring()
    since, started = len(desk.log), desk.now
    desk.now += 4_000
    desk.report(A, 0, phase=Phase.PROGRESS, done=4, total=10, bytes=200)
    (found,) = written(desk, since)
    version = desk.source(A).version
    assert found == WorkProgress(version, 4, 20, 200, 1_000, started, desk.now)
    assert found.seconds_left == 16.0
    desk.report(A, 1, phase=Phase.PROGRESS, done=4, total=10, bytes=200)
    assert len(written(desk, since)) == 1  # not a second later
    desk.now += 1_000
    desk.report(A, 1, phase=Phase.PROGRESS, done=6, total=10, bytes=300)
    assert written(desk, since)[-1] == WorkProgress(version, 10, 20, 500, 1_000, started, desk.now)


def test_its_end_deletes_it_and_a_new_coordinator_knows_nothing_of_it() -> None:
    desk = restoring()
    since = len(desk.log)
    desk.report(A, 0, phase=Phase.PROGRESS, done=4, total=10, bytes=200)
    before = desk.source(A).work
    desk.restart()
    after = desk.source(A).work
    assert before is not None
    assert after is not None
    assert (before.shown_at > 0, after.shown_at, dict(after.progress)) == (True, 0, {})
    desk.now += 1_000
    desk.report(A, 0, segments=10, bytes=500)
    desk.report(A, 1, segments=10, bytes=500)
    assert written(desk, since)[-1] is None


def test_an_expiry_is_measured_against_what_the_shards_say() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.command("expire", A, request_id="e")
    since = len(desk.log)
    desk.report(A, 0, phase=Phase.PROGRESS, done=1, total=3, bytes=100)
    desk.now += 1_000
    said = desk.report(A, 1, phase=Phase.PROGRESS, done=2, total=5, bytes=100)
    found = written(desk, since)[-1]
    assert found is not None
    assert (found.done, found.total, found.bytes_done, found.bytes) == (3, 8, 200, 0)
    (told,) = [one.record for one in said if one.topic == "control_results"]
    assert (told["outcome"], told["done"], told["total"]) == ("progress", 3, 8)


def test_what_is_taken_back_or_wrong_makes_no_negative_numbers() -> None:
    desk = restoring()
    desk.report(A, 0, phase=Phase.PROGRESS, done=40, total=10, bytes=9_000)
    desk.now += 1_000
    since = len(desk.log)
    desk.report(A, 0, phase=Phase.PROGRESS, done=1, total=10, bytes=10)
    (found,) = written(desk, since)
    assert found is not None
    assert (found.done, found.total, found.bytes_done, found.bytes) == (40, 40, 9_000, 9_000)
    assert found.seconds_left == 0

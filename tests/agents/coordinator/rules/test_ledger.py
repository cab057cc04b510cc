"""The coordinator's records: small for any size of the cluster, and readable across versions."""

import json
from typing import Any

import pytest

from agents.coordinator.rules import ledger
from agents.coordinator.rules.recovery import recovered
from agents.coordinator.rules.state import CoordinatorState, Source
from schemas.records.lifecycle import State
from tests.rigs.desk import DAY, MONTH3, Desk, checksum, of

A = "campaign:a"


def last(desk: Desk, key: str) -> bytes:
    return next(value for name, value in reversed(desk.log) if name == key and value is not None)


@pytest.mark.parametrize("partitions", [10_000, 100_000])
def test_a_source_of_very_many_shards_is_a_small_record(partitions: int) -> None:
    desk = Desk(partitions=partitions, shard_deadline_ms=1)
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    for partition in range(0, partitions, partitions // 50):
        desk.report(A, partition, interactions=1 << 40, bytes=1 << 50)
    desk.tick(1)
    assert len(last(desk, f"s/{A}")) < 30_000
    (state,) = of(desk.said, "state")[-1:]
    assert len(json.dumps(state)) < 10_000
    assert f"and {partitions - 50 - 20} more not done" in state["message"]
    before = desk.source(A)
    desk.restart()
    assert desk.source(A) == before
    assert before.work is not None
    assert len(before.work.reported) == 50
    assert before.work.totals.interactions == 50 << 40


def test_totals_do_not_depend_on_a_restart_half_way() -> None:
    desk = Desk(partitions=3)
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    for partition in (2, 0, 1):
        desk.report(A, partition)
        desk.restart()
    assert desk.source(A).state is State.EXPIRED
    totals = desk.source(A).archived
    assert (totals.interactions, totals.segments) == (30, 3)
    assert totals.checksum == checksum(1 + 2 + 3)


def load(**facts: Any) -> Source:
    record = {"source": A, "state": "EXPIRING", "version": 3, **facts}
    entries = [(f"s/{A}", json.dumps(record).encode())]
    return ledger.load(entries, segments_are_roots=True).sources[A]


def test_the_record_of_an_earlier_version_is_read() -> None:
    reports = {"0": {"interactions": 1, "checksum": checksum(1)}, "2": {"interactions": 2}}
    work = {
        "origin": {"why": "retention", "at": 1},
        "started_at": 1,
        "deadline": 2,
        "reports": reports,
        "progress": {"0": 1},
    }
    found = load(work=work).work
    assert found is not None
    assert found.reported == {0, 2}
    assert (found.totals.interactions, found.totals.checksum) == (3, checksum(1))


def test_what_a_later_version_adds_is_left_out() -> None:
    assert load(invented=1, archived={"interactions": 2, "more": 1}).archived.interactions == 2


def test_a_confirmation_of_an_earlier_version_is_asked_for_again() -> None:
    entries = [("w", b'{"next_at": 5, "awaiting": 3, "confirmed": true}')]
    sweep = ledger.load(entries, segments_are_roots=True).sweep
    assert (sweep.next_at, sweep.awaiting, sweep.approved) == (5, 0, "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (f"s/{A}", {"source": "campaign:b"}),
        (f"s/{A}", {"source": A, "version": "7"}),
        (f"s/{A}", {"source": A, "version": 1 << 70}),
        (f"s/{A}", {"source": A, "version": True}),
        (f"s/{A}", {"source": A, "tags": [1]}),
        (f"s/{A}", {"source": A, "held": {"by": 1, "reason": None, "since": 1}}),
        (f"s/{A}", {"source": A, "work": {"origin": {"why": "retention", "at": 1}, "deadline": 1}}),
        (f"s/{A}", {"source": A, "exempt_by": [{"root": 1, "through": [], "filter": "x"}]}),
        (f"s/{A}", {"source": A, "archived": {"segments": "many"}}),
        (f"k/{A}", {"key": A, "status": "ACTIVE", "filters": 7}),
        (f"k/{A}", {"key": "campaign:b", "status": "ACTIVE"}),
        ("w", {"next_at": "soon"}),
        ("w", {"approved_to": [1]}),
        ("r/one", {"request_id": "one", "type": "restore", "time": None}),
        ("t/one\x1fcampaign:a", {"outcome": "accepted", "message": 3}),
        (f"a/{A}", {"detail": "x", "words": [1]}),
    ],
)
def test_a_value_of_another_type_is_a_foreign_record(key: str, value: object) -> None:
    with pytest.raises(ledger.Unreadable):
        ledger.parsed(key, json.dumps(value).encode())


def test_work_under_way_begins_again_if_its_record_is_destroyed() -> None:
    desk = Desk()
    desk.expired(A, tags=("x",))
    desk.command("restore", A)
    desk.report(A, 0)
    before = desk.source(A)
    found = recovered(before.shown(), desk.now, desk.policy)
    assert (found.state, found.version, found.epoch) == (State.RESTORING, before.version + 1, 1)
    assert (found.tags, found.archived.segments) == (("x",), before.archived.segments)
    desk.state = CoordinatorState(
        catalog=desk.state.catalog, sources={A: found}, used=desk.state.used
    )
    desk.finish(A)
    assert desk.source(A).state is State.STOPPED
    assert recovered(desk.source(A).shown(), desk.now, desk.policy).shown() == (
        desk.source(A).shown()
    )


@pytest.mark.parametrize("half", ["\\ud800", "\\uDfff", b"\xed\xa0\x80".decode("latin-1")])
@pytest.mark.parametrize(("key", "field"), [(f"s/{A}", "name"), ("r/r", "reason")])
def test_text_that_could_never_be_written_again_is_no_record_of_ours(
    key: str, field: str, half: str
) -> None:
    desk = Desk()
    desk.define(A, "STOPPED", name="name")
    desk.command("pause", request_id="r", reason="reason")
    forged = last(desk, key).replace(
        f'"{field}":"'.encode(), f'"{field}":"{half}'.encode("latin-1")
    )
    assert forged != last(desk, key)
    with pytest.raises(ledger.Unreadable, match=key):
        ledger.parsed(key, forged)
    whole = last(desk, key).replace(f'"{field}":"'.encode(), f'"{field}":"\\ud83d\\ude00'.encode())
    assert ledger.parsed(key, whole)


def test_a_definition_that_cannot_be_read_stays_quarantined_whatever_its_words_are() -> None:
    desk = Desk()
    desk.define("canvas:x", filters='{"filter": "received_from_campagn\\ud800", "campaign": "a"}')
    before = desk.state.quarantined
    assert before.keys() == {"canvas:x"}
    desk.restart()
    assert desk.state.quarantined == before

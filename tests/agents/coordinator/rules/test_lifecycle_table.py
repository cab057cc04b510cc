"""The rows of the design's lifecycle table, one by one."""

from datetime import UTC, datetime

import pytest

from agents.coordinator.rules.inputs import CatalogSnapshot, DefinitionRead, DefinitionUnreadable
from agents.coordinator.rules.policy import Policy
from schemas.records.lifecycle import Definition, Phase, State, Status
from streams.period import parse
from streams.settings import Settings
from tests.rigs.desk import DAY, MONTH3, START, Desk, checksum, decisions, of

A = "campaign:a"
B = "canvas:b"
USES_A = {"filter": "received_from_campaign", "campaign": "a", "has": False}


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


def test_active_source_is_hot_and_has_no_due_date() -> None:
    desk = Desk()
    (state,) = of(desk.define(A, name="Spring", tags=("x",)), "state")
    assert (state["state"], state["due_at"], state["version"]) == ("ACTIVE", None, 1)
    assert (state["name"], state["kind"], state["tags"]) == ("Spring", "campaign", ["x"])
    desk.tick(3650 * DAY)
    assert desk.source(A).state is State.ACTIVE


def test_draft_is_as_hot_as_active() -> None:
    desk = Desk()
    desk.define(A, "DRAFT")
    assert desk.source(A).state is State.ACTIVE


@pytest.mark.parametrize("status", ["STOPPED", "ARCHIVED"])
def test_due_three_calendar_months_after_the_stop(status: str) -> None:
    desk = Desk()
    desk.now = ms(2025, 12, 1)
    desk.define(A, status, stopped_at=ms(2025, 11, 30))
    assert desk.source(A).state is State.STOPPED
    assert desk.source(A).due_at == ms(2026, 2, 28)


@pytest.mark.parametrize("stopped_at", [None, START + 5 * DAY])
def test_no_stop_time_or_a_future_one_means_when_it_was_read(stopped_at: int | None) -> None:
    desk = Desk()
    desk.define(A, "STOPPED", stopped_at=stopped_at)
    assert desk.source(A).stopped_at == START
    desk.now += DAY
    desk.define(A, "STOPPED", stopped_at=stopped_at, name="again")
    assert desk.source(A).stopped_at == START


def test_longer_retention_by_tag_or_kind_and_never_a_shorter_one() -> None:
    tags = {"vip": parse("P1Y"), "brief": parse("P1D")}
    desk = Desk(retention_by_tag=tags, retention_by_kind={"canvas": parse("P6M")})
    desk.now = ms(2026, 1, 1)
    stops = {"campaign:1": ("vip", "brief"), "canvas:2": (), "campaign:3": ("brief",)}
    for key, tagged in stops.items():
        desk.define(key, "STOPPED", tags=tagged)
    due = {key: desk.source(key).due_at for key in stops}
    assert due == {
        "campaign:1": ms(2027, 1, 1),
        "canvas:2": ms(2026, 7, 1),
        "campaign:3": ms(2026, 4, 1),
    }


def test_policy_in_effect_since() -> None:
    desk = Desk(policy_effective_at=START)
    desk.define(A, "STOPPED", stopped_at=START - 1000 * DAY)
    assert (desk.source(A).due_at or 0) > START


def test_policy_in_effect_since_the_setting_says() -> None:
    assert Policy.of(Settings()).policy_effective_at is None
    since = Policy.of(Settings(policy_effective_at="2026-01-31")).policy_effective_at
    assert since == 1_769_817_600_000


def test_expires_at_the_sweep_after_it_is_due_with_one_event() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", name="Spring", tags=("x",), stopped_at=START - DAY)
    desk.tick(60 * DAY)
    assert desk.source(A).state is State.STOPPED
    due_at = desk.source(A).due_at
    (state,) = of(desk.tick(MONTH3), "state")
    assert (state["state"], state["version"], state["epoch"]) == ("EXPIRING", 2, 0)
    assert not of(desk.report(A, 0, interactions=3), "expired")
    assert not of(desk.report(A, 0), "expired")
    (event,) = of(desk.report(A, 1, interactions=4), "expired")
    assert desk.source(A).state is State.EXPIRED
    assert event == event | {
        "source": A,
        "name": "Spring",
        "tags": ["x"],
        "epoch": 1,
        "stopped_at": START - DAY,
        "due_at": due_at,
        "expired_at": desk.now,
        "reason": "retention",
        "interactions": 7,
        "bytes": 200,
        "segments": 2,
        "checksum": checksum(3),
    }


@pytest.mark.parametrize("polarity", [True, False])
def test_exempt_while_a_root_uses_it_in_any_polarity(polarity: bool) -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, filters={"not": USES_A | {"has": polarity}})
    source = desk.source(A)
    assert (source.state, source.due_at) == (State.EXEMPT, None)
    (use,) = source.exempt_by
    assert (use.root, use.through, use.filter) == (B, (), "received_from_campaign")
    desk.tick(3650 * DAY)
    assert desk.source(A).state is State.EXEMPT


def test_exempt_through_segments_that_refer_to_each_other() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    one = {"and": [{"filter": "in_segment", "segment": "2"}]}
    two = {"or": [{"filter": "in_segment", "segment": "segment:1"}, USES_A]}
    desk.define("segment:1", "DRAFT", filters=one)
    desk.define("segment:2", "DRAFT", filters=two)
    assert desk.source(A).state is State.STOPPED
    card = {"filter": "in_segment", "segment": "1"}
    desk.define("content_card:c", filters=card)
    assert desk.source(A).exempt_by[0].through == ("segment:1", "segment:2")


def test_active_segment_is_a_root_by_setting() -> None:
    for roots, state in ((True, State.EXEMPT), (False, State.STOPPED)):
        desk = Desk(segments_are_roots=roots)
        desk.define(A, "STOPPED")
        desk.define("segment:1", filters=USES_A)
        assert desk.source(A).state is state


def test_listed_references_exempt() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, references=(A,))
    assert desk.source(A).exempt_by[0].filter == "references"


def test_tag_filters_and_opaque_leaves_never_exempt() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", tags=("x",))
    tag = {"filter": "received_with_tag", "tag": "x"}
    opaque = {"filter": "made_up", "campaign": "a"}
    desk.define(B, filters={"and": [tag, opaque, {"xor": [{"filter": "bought"}]}]})
    assert desk.source(A).state is State.STOPPED


def test_a_source_does_not_keep_itself_hot() -> None:
    desk = Desk()
    desk.define("segment:1", "DRAFT", filters=USES_A)
    desk.define(A, filters={"or": [USES_A, {"filter": "in_segment", "segment": "1"}]})
    assert not desk.source(A).exempt_by
    desk.define(A, "STOPPED", filters=USES_A)
    assert desk.source(A).state is State.STOPPED
    assert desk.source(A).released_at is None


def test_release_retention_after_last_use() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", stopped_at=START)
    desk.define(B, references=(A,))
    desk.now = START + 200 * DAY
    desk.define(B, "STOPPED", references=(A,))
    assert desk.source(A).released_at == desk.now
    assert (desk.source(A).due_at or 0) > desk.now
    assert desk.source(A).due_because == "last use ended, then P3M"


def test_release_at_next_sweep() -> None:
    desk = Desk(count_last_use=False)
    desk.define(A, "STOPPED", stopped_at=START)
    desk.define(B, references=(A,))
    desk.tick(200 * DAY)
    desk.define(B, "STOPPED", references=(A,))
    assert desk.source(A).state is State.STOPPED
    desk.tick(DAY)
    assert desk.source(A).state is State.EXPIRING


def test_held_until_released() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.command("hold", A, requested_by="ann", reason="lawsuit")
    (state,) = of(desk.said[-20:], "state")[-1:]
    held = {"by": "ann (unverified)", "reason": "lawsuit", "since": START, "legal": False}
    assert state["held"] == held
    desk.tick(3650 * DAY)
    assert desk.source(A).state is State.HELD
    desk.command("unhold", A)
    assert desk.source(A).state is State.STOPPED
    desk.tick(DAY)
    assert desk.source(A).state is State.EXPIRING


def test_unknown_source_stays_hot_and_is_flagged() -> None:
    desk = Desk()
    said = desk.report("campaign:x", 0, phase=Phase.SEEN)
    (state,) = of(said, "state")
    assert (state["state"], state["unknown"]) == ("UNKNOWN", True)
    assert "unknown_source_seen" in decisions(said)
    assert desk.report("campaign:x", 1, phase=Phase.SEEN) == []
    desk.tick(3650 * DAY)
    assert desk.source("campaign:x").state is State.UNKNOWN
    desk.define("campaign:x", "STOPPED")
    assert desk.source("campaign:x").state is State.STOPPED


def test_deleted_counts_as_stopped_and_keeps_its_tags() -> None:
    desk = Desk()
    desk.define(A, tags=("x",), name="Spring")
    desk.now += DAY
    (state,) = of(desk.delete(A), "state")
    assert (state["state"], state["deleted"], state["stopped_at"]) == ("STOPPED", True, desk.now)
    assert (state["tags"], state["name"]) == (["x"], "Spring")
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.EXPIRING


def test_deleted_while_no_coordinator_ran() -> None:
    desk = Desk()
    desk.define(A)
    desk.define(B, references=(A,))
    desk.take(CatalogSnapshot(frozenset({A})))
    assert desk.source(B).deleted
    assert desk.source(B).state is State.STOPPED


def test_deleted_root_releases() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, references=(A,))
    desk.delete(B)
    assert desk.source(A).state is State.STOPPED


def test_resumed_while_expired_is_restored_at_once_with_a_warning() -> None:
    desk = Desk()
    desk.expired(A)
    said = desk.define(A)
    assert desk.source(A).state is State.RESTORING
    assert "resumed_while_hidden" in decisions(said)
    (event,) = of(desk.finish(A), "restored")
    assert (event["request_id"], event["due_at"]) == (None, None)
    assert desk.source(A).state is State.ACTIVE


def test_resumed_while_expired_by_setting_stays() -> None:
    desk = Desk(restore_on_resume=False)
    desk.expired(A)
    assert "resumed_while_hidden" in decisions(desk.define(A))
    assert desk.source(A).state is State.EXPIRED


def test_resumed_while_expiring_expires_first() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    version = desk.source(A).version
    desk.define(A)
    assert (desk.source(A).state, desk.source(A).version) == (State.EXPIRING, version)
    assert len(of(desk.finish(A), "expired")) == 1
    assert desk.source(A).state is State.RESTORING
    desk.finish(A)
    assert desk.source(A).state is State.ACTIVE


def test_resumed_while_expiring_and_stopped_again_stays_expired() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.tick(MONTH3 + DAY)
    desk.define(A)
    desk.define(A, "STOPPED")
    desk.finish(A)
    assert desk.source(A).state is State.EXPIRED


def test_reference_to_expired_data_is_audited_and_shown() -> None:
    desk = Desk()
    desk.expired(A)
    version = desk.source(A).version
    said = desk.define(B, filters=USES_A)
    assert "referenced_while_hidden" in decisions(said)
    state = next(record for record in of(said, "state") if record["source"] == A)
    assert (state["state"], state["version"]) == ("EXPIRED", version)
    assert state["exempt_by"][0]["root"] == B


def test_restored_expires_again_after_another_retention_as_a_new_epoch() -> None:
    desk = Desk()
    desk.expired(A)
    desk.command("restore", A, requested_by="ann")
    asked = desk.now
    desk.now += 1000
    (event,) = of(desk.finish(A, late_interactions=2), "restored")
    source = desk.source(A)
    assert event == event | {
        "epoch": 1,
        "request_id": "r1",
        "requested_by": "ann",
        "requested_at": asked,
        "restored_at": desk.now,
        "interactions": 20,
        "late_interactions": 4,
        "due_at": source.due_at,
    }
    assert source.state is State.STOPPED
    assert (source.due_at or 0) > desk.now + 80 * DAY
    desk.tick(MONTH3 + DAY)
    (again,) = of(desk.finish(A), "expired")
    assert (again["epoch"], again["checksum"]) == (2, checksum(3))


def test_restored_into_what_it_is_by_then() -> None:
    desk = Desk()
    desk.expired(A)
    desk.command("restore", A)
    desk.define(B, references=(A,))
    desk.finish(A)
    assert desk.source(A).state is State.EXEMPT


def test_older_definition_is_ignored() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", updated_at=10)
    said = desk.define(A, "ACTIVE", updated_at=9)
    assert decisions(said) == ["older_definition_ignored"]
    assert desk.source(A).state is State.STOPPED
    desk.define(A, "ACTIVE", updated_at=10)
    assert desk.source(A).state is State.ACTIVE


def test_undecodable_definition_keeps_the_references_it_had() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, filters=USES_A)
    said = desk.take(DefinitionUnreadable(B, "garbage"))
    assert decisions(said) == ["unreadable_definition"]
    assert desk.source(A).state is State.EXEMPT


@pytest.mark.parametrize("filters", ["{", '"text"', '{"and": 3}', '{"not": ' * 40 + "}" * 40])
def test_unreadable_filter_keeps_the_references_it_had(filters: str) -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define(B, filters=USES_A)
    said = desk.define(B, filters=filters, name="new")
    assert "unreadable_filter" in decisions(said)
    assert desk.source(A).state is State.EXEMPT
    assert desk.source(B).name == "new"
    desk.define(B, filters=None)
    assert desk.source(A).state is State.STOPPED


def test_same_definition_again_changes_nothing() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", filters=USES_A)
    assert desk.define(A, "STOPPED", filters=USES_A) == []


def test_an_older_definition_that_is_read_again_is_not_audited_again() -> None:
    desk = Desk()
    desk.define(A, updated_at=START + 2)
    older = Definition(A, Status.STOPPED, updated_at=START + 1)
    assert decisions(desk.take(DefinitionRead(A, older))) == ["older_definition_ignored"]
    assert desk.take(DefinitionRead(A, older, again=True)) == []
    assert desk.source(A).state is State.ACTIVE

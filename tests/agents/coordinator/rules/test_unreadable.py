"""Unreadable records of the catalog change nothing, and let no source expire."""

import json
import time
from typing import Any

import pytest

from agents.coordinator.records import read
from agents.coordinator.rules.bounds import unfit
from agents.coordinator.rules.explain import explain
from agents.coordinator.rules.lint import lint
from agents.coordinator.rules.quarantine import UNREADABLE
from agents.filters.plan_facts import FixedPlanFacts
from agents.filters.references import MAX_STRANGE, UnreadableFilter, uses
from agents.filters.spelling import FILTERS
from agents.filters.vocabulary import VOCABULARY
from schemas.records import codec
from schemas.records.lifecycle import Definition, State, Status
from streams.kafka.step import MAX_BATCH_BYTES
from tests.rigs.coordinator_inputs import TOPICS, batch
from tests.rigs.desk import DAY, MONTH3, START, Desk, decisions, of

A, C = "campaign:77001", "canvas:c"
OURS = {"filter": "received_from_campaign", "campaign": "77001"}
NAMED = [
    {"filter": "received_from_campaign", "campaign": 77001},
    {"filter": "received_from_campaign", "campain": "77001"},
    {"filter": "recieved_from_campaign", "campaign": "77001"},
    {"filter": "Received_From_Campaign", "campaign": "77001"},
    {"filter": "receivedFromCampaign", "campaign": "77001"},
    {"filter": ["received_from_campaign"], "campaign": "77001"},
    {"AND": [OURS]},
    {"And": [{"filter": "bought", "campaign": "77001"}]},
    {"xor": [OURS]},
    {"any": {"of": [{"filter": "recieved_from_campaign", "campaign": 77001}]}},
    {"filter": "bought", "within": OURS},
    {"filter": "never_received", "and": [OURS]},
    {"filter": "never_received", "but": [OURS]},
    {"received_from_campaign": {"campaign": 77001}},
    {"and": {"filter": "received_from_campaign", "campaign": "77001"}},
    {"not": [OURS]},
    {"and": [OURS, {"filter": "received_from_campaign"}]},
    {"and": ["campaign:77001"]},
    [OURS],
    "received_from_campaign 77001",
    "campaign:77001",
    77001,
]
TEXTS = [
    "not json, campaign:77001",
    '{"filter": "received_from_campaign", "campaign": "77001"',
    '{"and": [{"filter": "received_from_campaign", "campaign": 77001}], "and": []}',
    '{"not": ' * 40 + json.dumps(OURS) + "}" * 40,
]


def told(desk: Desk, source: str) -> dict[str, Any]:
    state = desk.state
    found = explain(
        desk.source(source).shown(), state.catalog, desk.policy, desk.now, None, state.quarantined
    )
    return found.facts(desk.now)


@pytest.mark.parametrize("filters", [*map(json.dumps, NAMED), *TEXTS])
def test_what_an_unreadable_filter_names_stays_hot(filters: str) -> None:
    desk = Desk()
    said = desk.define(C, filters=filters)
    (audit,) = [one for one in of(said, "audit") if one["decision"] == "unreadable_filter"]
    assert audit["source"] == C
    # whichever is read first
    desk.define(A, "STOPPED")
    desk.restart()
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.EXEMPT
    (use,) = desk.source(A).exempt_by
    assert (use.root, use.filter) == (C, UNREADABLE)
    assert "canvas:c (its definition cannot be read)" in told(desk, A)["summary"]
    assert told(desk, C)["unreadable"]
    definition = desk.state.catalog[C]
    assert list(lint(definition, desk.state.catalog, FixedPlanFacts(), desk.now))
    desk.define(C, filters={"filter": "bought", "campaign": "77001"})
    assert desk.source(A).state is State.STOPPED
    assert told(desk, C)["unreadable"] is None


@pytest.mark.parametrize(
    "filters",
    [
        {"filter": "bought", "campaign": "77001"},
        {"filter": "bought", "cities": ["San Francisco"] * 5000, "ids": [77001]},
        {"custom_attribute": "tier", "op": "is", "value": "77001"},
        {"xor": [{"filter": "bought", "campaign": 77001}]},
        {"and": [], "comment": "77001"},
        {},
        None,
    ],
)
def test_unknown_filters_stay_opaque(filters: object) -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    assert "unreadable_filter" not in decisions(desk.define(C, filters=json.dumps(filters)))
    assert desk.source(A).state is State.STOPPED


def test_references_that_name_no_source_cannot_be_read() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    assert "unreadable_filter" in decisions(desk.define(C, references=("77001",)))
    assert desk.source(A).state is State.EXEMPT


def test_an_unreadable_segment_counts_through_those_that_use_it() -> None:
    desk = Desk(segments_are_roots=False)
    desk.define(A, "STOPPED")
    desk.define("segment:s", filters={"AND": [OURS]})
    assert desk.source(A).state is State.STOPPED
    desk.define(C, filters={"filter": "in_segment", "segment": "s"})
    assert [(use.root, use.through) for use in desk.source(A).exempt_by] == [(C, ("segment:s",))]


def test_one_unreadable_record_after_another_keeps_what_the_readable_one_used() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    desk.define("campaign:2", "STOPPED")
    desk.define(C, filters=OURS)
    desk.define(C, filters="not json, 2")
    desk.define(C, filters="not json at all")
    desk.restart()
    desk.tick(10 * MONTH3)
    assert {desk.source(name).state for name in (A, "campaign:2")} == {State.EXEMPT}
    desk.define(C, "STOPPED", filters="not json at all")
    assert {desk.source(name).state for name in (A, "campaign:2")} == {State.STOPPED}


def test_the_same_unreadable_definition_again_is_audited_once() -> None:
    desk = Desk()
    assert "unreadable_filter" in decisions(desk.define(C, filters="not json"))
    assert desk.define(C, filters="not json") == []
    desk.restart()
    assert desk.define(C, filters="not json") == []


def taken(desk: Desk, key: str, value: bytes | None) -> list[str]:
    items = read(TOPICS, [batch(TOPICS.catalog, (key.encode(), value))], {}, desk.now)
    rejects = [dict(item.reject.headers)["code"].decode() for item in items if item.reject]
    desk.take(*(item.meaning for item in items if item.meaning is not None))
    return rejects


FIELDS: dict[str, Any] = {"key": A, "status": "STOPPED"}
SECONDS, MICROS = START // 1000, START * 1000
BAD_TIMES = [
    {"stopped_at": SECONDS},
    {"stopped_at": 0},
    {"stopped_at": -1},
    {"stopped_at": MICROS},
    {"updated_at": SECONDS},
    {"updated_at": MICROS},
    {"updated_at": START + 2 * DAY},
]


@pytest.mark.parametrize("form", ["json", "avro"])
@pytest.mark.parametrize("times", BAD_TIMES)
def test_a_time_in_another_unit_changes_nothing(times: dict[str, int], form: str) -> None:
    desk = Desk()
    record = {**FIELDS, **times}
    value = json.dumps(record).encode() if form == "json" else codec.encode("definition", record)
    assert taken(desk, A, value) == ["bad_time"]
    assert A not in desk.state.sources
    desk.define(A, name="Spring", tags=("x",))
    before = desk.source(A)
    assert taken(desk, A, value) == ["bad_time"]
    assert desk.source(A) == before
    desk.tick(DAY)
    assert desk.source(A).state is State.ACTIVE
    audits = [one for one in of(desk.said, "audit") if one["decision"] == "unreadable_definition"]
    assert [one["source"] for one in audits] == [A, A]
    assert next(iter(times)) in audits[0]["detail"]
    assert next(iter(times)) in told(desk, A)["unreadable"]


@pytest.mark.parametrize("times", [{"stopped_at": START + 400 * DAY}, {"updated_at": START + DAY}])
def test_a_stop_may_be_planned_and_clocks_may_differ_by_a_day(times: dict[str, int]) -> None:
    desk = Desk()
    assert taken(desk, A, json.dumps({**FIELDS, **times}).encode()) == []
    assert desk.source(A).state is State.STOPPED


@pytest.mark.parametrize(
    "value",
    [
        json.dumps({"key": C, "status": "RUNNING", "filters": OURS}).encode(),
        json.dumps({"key": C, "status": "ACTIVE", "filters": [OURS]}).encode(),
        json.dumps({"key": C, "status": "ACTIVE", "references": [77001]}).encode(),
        json.dumps({"key": C, "status": "ACTIVE", "filters": OURS, "updated_at": "x"}).encode(),
        json.dumps({"key": C, "status": "ACTIVE", "filters": OURS, "updated_at": 5}).encode(),
        json.dumps({"key": C, "status": "ACTIVE", "filters": OURS}).encode()[:-1],
        codec.encode("definition", {"key": C, "status": "ACTIVE", "references": [A]}) + b"x",
    ],
)
def test_what_a_record_names_that_is_no_definition_stays_hot(value: bytes) -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    assert len(taken(desk, C, value)) == 1
    assert C not in desk.state.catalog
    desk.restart()
    desk.tick(MONTH3 + DAY)
    assert [use.root for use in desk.source(A).exempt_by] == [C]
    assert "its definition cannot be read" in told(desk, A)["summary"]
    desk.delete(C)
    assert desk.source(A).state is State.STOPPED


def test_a_stopped_definition_with_a_bad_time_keeps_nothing_hot() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    record = {"key": C, "status": "STOPPED", "filters": OURS, "stopped_at": 5}
    assert taken(desk, C, json.dumps(record).encode()) == ["bad_time"]
    assert desk.source(A).state is State.STOPPED


def test_every_filter_is_known_to_the_spelling() -> None:
    assert set(VOCABULARY) == FILTERS


def test_many_unknown_names_cost_little_and_match_no_filter() -> None:
    names = [f"received_from_campaig{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
    strange = json.dumps({"list": names})
    began = time.process_time()
    with pytest.raises(UnreadableFilter):
        uses(Definition(C, Status.ACTIVE, filters=strange))
    other = {"and": [{"filter": f"made_up_{n}_{'x' * (n % 40)}"} for n in range(MAX_STRANGE + 1)]}
    with pytest.raises(UnreadableFilter, match="unknown names"):
        uses(Definition(C, Status.ACTIVE, filters=json.dumps(other)))
    assert time.process_time() - began < 5


def test_what_is_kept_of_the_largest_definitions_is_a_record() -> None:
    desk = Desk()
    desk.define(A, "STOPPED")
    used = tuple(f"campaign:{number}" for number in range(70_000, 102_000))
    definition = Definition(C, Status.ACTIVE, references=used)
    assert unfit(definition, START) is None
    desk.define(C, references=used)
    words = json.dumps({"AND": [f"é{number:09}" for number in range(25_000)]})
    assert unfit(Definition(C, Status.ACTIVE, filters=words), START) is None
    desk.define(C, filters=words)
    assert all(len(value or b"") < MAX_BATCH_BYTES for _, value in desk.log)
    desk.restart()
    desk.tick(MONTH3 + DAY)
    assert desk.source(A).state is State.EXEMPT

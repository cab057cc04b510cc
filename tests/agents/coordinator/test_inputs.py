"""Records of the input topics as inputs of the rules."""

import json
from dataclasses import replace

import pytest

from agents.coordinator.records import read
from agents.coordinator.rules import ledger
from agents.coordinator.rules.decide import decide
from agents.coordinator.rules.inputs import (
    CommandRead,
    CommandUnreadable,
    DefinitionRead,
    DefinitionUnreadable,
    ReportRead,
)
from agents.coordinator.rules.state import CoordinatorState
from schemas.records import codec
from schemas.records.lifecycle import Status
from tests.rigs.coordinator_inputs import ACTIVE, NOW, TOPICS, batch
from tests.rigs.desk import Desk


def test_definitions_first_then_commands_then_reports() -> None:
    report = codec.encode("report", {"partition": 0, "time": 0, "items": []})
    batches = [
        batch(TOPICS.shard_reports, (None, report)),
        batch(TOPICS.control, (None, b'{"type":"pause"}')),
        batch(TOPICS.catalog, (b"campaign:a", ACTIVE)),
    ]
    meanings = [item.meaning for item in read(TOPICS, batches, {}, NOW)]
    assert [type(one) for one in meanings] == [DefinitionRead, CommandRead, ReportRead]
    command = meanings[1]
    assert isinstance(command, CommandRead)
    assert command.position == "p.control-0-0"


def test_records_below_the_cursor_were_taken_in_before() -> None:
    batches = [batch(TOPICS.catalog, (b"campaign:a", ACTIVE), (b"campaign:a", None))]
    (item,) = read(TOPICS, batches, {TOPICS.catalog: 1}, NOW)
    assert item.meaning == DefinitionRead("campaign:a", None)
    assert item.next_offset == 2


def test_a_definition_under_another_key_is_no_definition() -> None:
    (item,) = read(TOPICS, [batch(TOPICS.catalog, (b"campaign:b", ACTIVE))], {}, NOW)
    assert isinstance(item.meaning, DefinitionUnreadable)
    assert item.meaning.key == "campaign:b"
    assert item.reject is not None
    assert dict(item.reject.headers)["code"] == b"undecodable"


def test_a_definition_is_read() -> None:
    (item,) = read(TOPICS, [batch(TOPICS.catalog, (b"campaign:a", ACTIVE))], {}, NOW)
    assert isinstance(item.meaning, DefinitionRead)
    assert item.meaning.definition is not None
    assert item.meaning.definition.status is Status.ACTIVE


def test_rejects_keep_the_bytes_and_say_where_they_were() -> None:
    values = [b"\x00\x00", None, b'{"request_id":"mine"}', b"x" * 1_000]
    found = read(TOPICS, [batch(TOPICS.control, *((b"k", value) for value in values))], {}, NOW)
    meanings = [item.meaning for item in found]
    assert all(isinstance(one, CommandUnreadable) for one in meanings)
    ids = [one.request_id for one in meanings if isinstance(one, CommandUnreadable)]
    assert ids == ["p.control-0-0", "p.control-0-1", "mine", "p.control-0-3"]
    rejects = [item.reject for item in found if item.reject]
    assert [one.value for one in rejects] == values
    assert {one.key for one in rejects} == {b"k"}
    assert [dict(one.headers)["offset"] for one in rejects] == [b"0", b"1", b"2", b"3"]
    assert {one.topic for one in rejects} == {TOPICS.rejected}


def test_a_misspelt_command_is_refused_by_its_request_id() -> None:
    value = b'{"type":"expire","sources":["campaign:a"],"dry_runn":true,"request_id":"mine"}'
    (item,) = read(TOPICS, [batch(TOPICS.control, (None, value))], {}, NOW)
    assert isinstance(item.meaning, CommandUnreadable)
    assert item.meaning.request_id == "mine"
    assert "did you mean dry_run?" in item.meaning.detail


def test_a_report_that_cannot_be_read_means_nothing() -> None:
    (item,) = read(TOPICS, [batch(TOPICS.shard_reports, (None, b"\x00"))], {}, NOW)
    assert item.meaning is None
    assert item.reject is not None


GOOD = {"source": "campaign:a", "version": 1, "phase": "expired", "checksum": "0a"}
STRANGE_ITEMS: list[dict[str, object]] = [
    {"checksum": "zz"},
    {"checksum": "-1"},
    {"checksum": "a" * 33},
    {"source": ""},
    {"source": "segment:a"},
    {"source": f"campaign:{'x' * 5_000}"},
    {"version": -1},
    {"bytes": -1},
    {"interactions": (1 << 63) - 1},
    {"segments": 1 << 60},
    {"done": 1 << 60},
]


@pytest.mark.parametrize("form", ["json", "avro"])
@pytest.mark.parametrize("strange", STRANGE_ITEMS)
def test_an_invalid_report_is_rejected(strange: dict[str, object], form: str) -> None:
    report = {"partition": 0, "time": 0, "items": [GOOD, GOOD | strange]}
    text = json.dumps(report).encode()
    value = text if form == "json" else codec.encode("report", report)
    (item,) = read(TOPICS, [batch(TOPICS.shard_reports, (None, value))], {}, NOW)
    assert item.meaning is None
    assert item.reject is not None


def test_a_batch_that_cannot_be_read_is_rejected_as_a_whole() -> None:
    good = batch(TOPICS.control, (None, b'{"type":"pause"}'))
    bad = replace(good, payload=good.payload[:-1])
    (item,) = read(TOPICS, [bad], {}, NOW)
    assert item.meaning is None
    assert item.reject is not None
    assert item.next_offset == bad.next_offset
    assert read(TOPICS, [bad], {TOPICS.control: bad.next_offset}, NOW) == []


def test_very_many_invalid_records_make_little_output() -> None:
    made = batch(TOPICS.control, *[(None, b"x" * 50)] * 5_000)
    small = replace(made, wire=b"w" * 14_000)
    items = read(TOPICS, [small], {}, NOW)
    rejects = [item.reject for item in items if item.reject is not None]
    assert sum(len(one.value or b"") + 200 for one in rejects) < 40 * 14_000
    meanings = [item.meaning for item in items if item.meaning is not None]
    decision = decide(CoordinatorState(), meanings, NOW, Desk().policy)
    written = [codec.encode(one.schema, one.record) for one in decision.outputs]
    written += [value or b"" for _, value in ledger.entries(decision)]
    assert sum(map(len, written)) < 40 * 14_000


def test_only_what_proves_it_says_who_sent_a_command() -> None:
    value = b'{"type":"pause","requested_by":"key ops"}'
    found = [batch(TOPICS.control, (None, value))]
    for actor_of, who in ((lambda _: None, "key ops (unverified)"), (lambda _: "key a", "key a")):
        (item,) = read(TOPICS, found, {}, NOW, actor_of)
        assert isinstance(item.meaning, CommandRead)
        assert item.meaning.command.who == who

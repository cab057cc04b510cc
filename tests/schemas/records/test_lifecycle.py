"""Lifecycle records: the dataclasses and the schemas say the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import codec, registry
from schemas.records.lifecycle import (
    HIDDEN,
    VISIBLE,
    Command,
    CommandType,
    Definition,
    Exemption,
    Hold,
    Outcome,
    Phase,
    Report,
    SourceState,
    State,
    Status,
    is_source,
    kind_of,
)

texts = st.text(max_size=8)
times = st.none() | st.integers(0, 1 << 45)
states = st.builds(
    SourceState,
    source=st.builds("campaign:{}".format, texts),
    state=st.sampled_from(State),
    version=st.integers(0, 1 << 40),
    epoch=st.integers(0, 1 << 20),
    name=texts,
    tags=st.lists(texts, max_size=3).map(tuple),
    status=st.none() | st.sampled_from([status.value for status in Status]),
    due_at=times,
    due_because=st.none() | texts,
    exempt_by=st.lists(
        st.builds(Exemption, texts, st.lists(texts, max_size=2).map(tuple), texts), max_size=2
    ).map(tuple),
    held=st.none() | st.builds(Hold, texts, st.none() | texts, st.integers(0, 1 << 45)),
    deleted=st.booleans(),
    legacy_deleted=st.booleans(),
    stopped_at=times,
    restored_at=times,
    expired_at=times,
    interactions=st.integers(0, 1 << 50),
    bytes=st.integers(0, 1 << 50),
    segments=st.integers(0, 1 << 30),
    checksum=st.none() | texts,
    stuck=st.lists(st.integers(0, 99), max_size=3).map(tuple),
    message=st.none() | texts,
    updated_at=st.integers(0, 1 << 45),
)


@given(states)
def test_state_survives_the_wire(state: SourceState) -> None:
    data = codec.encode("state", state.to_record())
    assert SourceState.from_record(codec.decode(data, "state")) == state


def test_a_state_says_its_kind_and_whether_it_is_unknown() -> None:
    record = SourceState("canvas:1", State.UNKNOWN, 1).to_record()
    assert (record["kind"], record["unknown"]) == ("canvas", True)


def test_hidden_are_exactly_the_three() -> None:
    assert {State.EXPIRING, State.EXPIRED, State.RESTORING} == HIDDEN
    assert set(State) == HIDDEN | VISIBLE
    assert not HIDDEN & VISIBLE
    assert SourceState("campaign:1", State.RESTORING, 1).hidden
    assert not SourceState("campaign:1", State.HELD, 1).hidden


def test_definition_from_avro_and_from_json() -> None:
    text = b'{"key":"campaign:a","status":"STOPPED","tags":["x"],"filters":{"filter":"f"}}'
    record = codec.decode(text, "definition")
    definition = Definition.from_record(record)
    assert (definition.kind, definition.status, definition.tags) == (
        "campaign",
        Status.STOPPED,
        ("x",),
    )
    assert json.loads(definition.filters or "") == {"filter": "f"}
    again = codec.decode(codec.encode("definition", record), "definition")
    assert Definition.from_record(again) == definition


def test_command_from_json_with_an_empty_request_id() -> None:
    record = codec.decode(b'{"type":"restore","sources":["campaign:a"],"request_id":""}', "command")
    assert Command.from_record(record) == Command("restore", ("campaign:a",))


def test_report() -> None:
    item = {"source": "campaign:a", "version": 3, "phase": "expired", "segments": 2}
    record = {"partition": 1, "time": 5, "items": [item]}
    report = Report.from_record(codec.decode(codec.encode("report", record), "report"))
    assert report.partition == 1
    assert report.items[0].phase is Phase.EXPIRED
    assert (report.items[0].segments, report.items[0].bytes) == (2, 0)


@pytest.mark.parametrize(
    ("schema", "field", "words"),
    [
        ("state", "state", State),
        ("definition", "status", Status),
        ("result", "outcome", Outcome),
    ],
)
def test_words_are_those_of_the_schema(schema: str, field: str, words: type) -> None:
    (found,) = [one for one in registry.raw(schema)["fields"] if one["name"] == field]
    assert found["type"]["symbols"] == [word.value for word in words]  # type: ignore[attr-defined]


def test_final_outcomes() -> None:
    assert {one for one in Outcome if one.final} == {
        Outcome.REFUSED,
        Outcome.COMPLETED,
        Outcome.FAILED,
    }


def test_sources_are_campaigns_and_canvases() -> None:
    assert is_source("campaign:1")
    assert is_source("canvas:a:b")
    assert not any(map(is_source, ("campaign:", "segment:1", "campaign", "", "content_card:1")))
    assert kind_of("content_card:1") == "content_card"


def test_commands_of_the_contract() -> None:
    assert [one.value for one in CommandType] == [
        "restore",
        "hold",
        "unhold",
        "cancel",
        "expire",
        "pause",
        "resume",
        "confirm",
        "imported",
        "erase",
    ]

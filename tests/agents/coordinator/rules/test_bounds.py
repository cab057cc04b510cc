"""Any input in control and catalog leads to records that fit the size limit."""

import json
from typing import Any

import pytest

from agents.coordinator.records import read
from agents.coordinator.rules import ledger
from agents.coordinator.rules.bounds import MAX_SOURCES
from agents.coordinator.rules.decide import decide
from agents.coordinator.rules.inputs import (
    CommandRead,
    CommandUnreadable,
    DefinitionUnreadable,
    ReportRead,
)
from agents.coordinator.rules.state import CoordinatorState
from schemas.decode.batch import RecordBatch
from schemas.records import codec
from schemas.records.lifecycle import Command, State
from streams.kafka.step import MAX_BATCH_BYTES
from tests.rigs.coordinator_inputs import NOW, TOPICS, batch
from tests.rigs.desk import START, Desk, outcomes

HUGE = "€" * 150_000


def decided(found: RecordBatch) -> list[Any]:
    """Take the records in as the coordinator does; check the size of everything it writes."""
    desk = Desk()
    items = read(TOPICS, [found], {}, NOW)
    meanings = [item.meaning for item in items if item.meaning is not None]
    decision = decide(CoordinatorState(), meanings, START, desk.policy)
    for output in decision.outputs:
        size = len(codec.encode(output.schema, output.record)) + len((output.key or "").encode())
        assert size < MAX_BATCH_BYTES, output.topic
    for key, value in ledger.entries(decision):
        assert len(key.encode()) + len(value or b"") < MAX_BATCH_BYTES, key
    for item in items:
        if item.reject is not None:
            assert len(item.reject.key or b"") + len(item.reject.value or b"") <= 900_000
            assert all(len(text) < 10_000 for _, text in item.reject.headers)
    assert decide(decision.state, [], START, desk.policy).state == decision.state
    return meanings


@pytest.mark.parametrize(
    "field",
    [
        {"request_id": HUGE},
        {"request_id": "a\x1fb"},
        {"sources": [HUGE]},
        {"tag": HUGE},
        {"requested_by": HUGE},
        {"reason": HUGE},
        {"notify_email": HUGE},
        {"type": HUGE},
        {"sources": [f"c{n}" for n in range(MAX_SOURCES + 1)]},
    ],
    ids=lambda field: next(iter(field)),
)
def test_commands_that_are_too_large_are_refused(field: dict[str, Any]) -> None:
    command = {"type": "restore", "request_id": "r", "sources": ["campaign:a"], **field}
    (meaning,) = decided(
        batch(TOPICS.control, (None, json.dumps(command, ensure_ascii=False).encode()))
    )
    assert isinstance(meaning, CommandUnreadable)
    assert meaning.request_id == ("p.control-0-0" if "request_id" in field else "r")


@pytest.mark.parametrize("odd", ["a\x1fb", "a\nb", "\x00", "a\x7f\x9b"])
def test_a_source_with_control_characters_goes_its_way_to_the_end(odd: str) -> None:
    """Events make such sources: one whose reports were refused stayed in EXPIRING for ever."""
    source = f"campaign:{odd}"
    desk = Desk()
    desk.expired(source)
    item = {"source": source, "version": 3, "phase": "restored"}
    report = {"partition": 0, "time": NOW, "items": [item]}
    command = {"type": "restore", "request_id": "r", "sources": [source]}
    for topic, name, record in (
        (TOPICS.shard_reports, "report", report),
        (TOPICS.control, "command", command),
    ):
        (meaning,) = decided(batch(topic, (None, codec.encode(name, record))))
        assert isinstance(meaning, ReportRead | CommandRead)
    desk.take(meaning)
    desk.restart()
    assert desk.source(source).state is State.RESTORING
    assert outcomes(desk.finish(source), source)[-1] == ("completed", None)


@pytest.mark.parametrize(
    "field",
    [
        {"name": HUGE},
        {"tags": ["t" * 500] * 1000},
        {"filters": json.dumps({"filter": "x", "y": '"' * 300_000})},
        {"references": [HUGE]},
        {"stopped_at": -(1 << 63)},
        {"key": f"campaign:{'k' * 400_000}"},
    ],
    ids=lambda field: next(iter(field)),
)
def test_definitions_that_are_too_large_are_not_taken_in(field: dict[str, Any]) -> None:
    record = {"key": "campaign:a", "status": "STOPPED", **field}
    value = json.dumps(record, ensure_ascii=False).encode()
    (meaning,) = decided(batch(TOPICS.catalog, (record["key"].encode(), value)))
    assert isinstance(meaning, DefinitionUnreadable)


def test_another_key_than_the_definitions_own_however_long() -> None:
    value = json.dumps({"key": "k" * 400_000, "status": "ACTIVE"}).encode()
    (meaning,) = decided(batch(TOPICS.catalog, (b"c" * 400_000, value)))
    assert isinstance(meaning, DefinitionUnreadable)


@pytest.mark.parametrize(("length", "shown"), [(10, 16), (200, 4), (580, 1)])
def test_a_long_chain_of_segments_is_named_by_its_nearest_part(length: int, shown: int) -> None:
    desk = Desk()
    desk.define("campaign:a", "STOPPED")
    names = [f"segment:{n}-{'s' * length}" for n in range(300)]
    for name, used in zip(names, ["campaign:a", *names], strict=False):
        desk.define(name, "DRAFT", references=(used,))
    desk.define("canvas:root", "ACTIVE", references=(names[-1],))
    (use,) = desk.state.sources["campaign:a"].exempt_by
    assert use.root == "canvas:root"
    assert use.through[0] == names[-1]
    assert len(use.through) == shown


def test_a_tag_of_too_many_sources_is_refused_whole() -> None:
    desk = Desk()
    sources = tuple(f"campaign:{n}" for n in range(MAX_SOURCES + 1))
    said = desk.take(CommandRead(Command("restore", sources, request_id="r"), "p"))
    assert [one.record["code"] for one in said if one.topic == "control_results"] == [
        "invalid_command"
    ]


def test_an_unreadable_command_whose_id_has_no_utf8_is_refused_under_its_place() -> None:
    found = batch(TOPICS.control, (None, b'{"request_id": "\\ud800", "type": 1}'))
    (item,) = read(TOPICS, [found], {}, NOW)
    assert isinstance(item.meaning, CommandUnreadable)
    assert item.meaning.request_id == f"{TOPICS.control}-0-0"

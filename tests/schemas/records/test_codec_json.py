import json
from typing import Any

import pytest

from schemas.records.codec import Undecodable, decode, encode

SEND: dict[str, Any] = {"id": "e1", "user_id": "u1", "time": 1_760_000_000_000}
DEFINITION: dict[str, Any] = {"key": "canvas:1", "status": "ACTIVE"}


def read(name: str, value: object) -> dict[str, Any]:
    return decode(json.dumps(value).encode(), name)


def refused(name: str, data: bytes | dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(Undecodable) as caught:
        decode(data if isinstance(data, bytes) else json.dumps(data).encode(), name)
    return caught.value.code, caught.value.detail


def test_json_needs_the_name_of_its_record() -> None:
    with pytest.raises(Undecodable):
        decode(b"{}")


def test_unknown_fields_are_ignored_and_symbols_become_the_default() -> None:
    record = read("send", {**SEND, "brand": {"x": [1]}, "channel": "PIGEON"})
    assert "brand" not in record
    assert record["channel"] == "OTHER"


def test_null_is_as_good_as_absent() -> None:
    record = read("definition", {**DEFINITION, "tags": None, "legacy_deleted": None})
    assert record == read("definition", DEFINITION)
    assert record["tags"] == []
    assert record["legacy_deleted"] is False
    assert refused("send", {**SEND, "user_id": None}) == ("missing_field", "user_id")


def test_a_default_list_belongs_to_the_record_alone() -> None:
    read("definition", DEFINITION)["tags"].append("mine")
    assert read("definition", DEFINITION)["tags"] == []


@pytest.mark.parametrize("name", ["id", "user_id", "time"])
def test_a_missing_field_is_named(name: str) -> None:
    assert refused("send", {k: v for k, v in SEND.items() if k != name}) == ("missing_field", name)


@pytest.mark.parametrize(
    ("record", "change", "path"),
    [
        ("send", {"id": 5}, "id"),
        ("send", {"time": True}, "time"),
        ("send", {"time": "2026-01-01"}, "time"),
        ("send", {"time": 1.5}, "time"),
        ("send", {"time": 2**63}, "time"),
        ("send", {"channel": 1}, "channel"),
        ("open", {"machine_open": 1}, "machine_open"),
        ("open", {"machine_open": "true"}, "machine_open"),
        ("conversion", {"conversion_behavior_index": 2**31}, "conversion_behavior_index"),
        ("conversion", {"conversion_behavior_index": False}, "conversion_behavior_index"),
    ],
)
def test_types_are_strict(record: str, change: dict[str, Any], path: str) -> None:
    code, detail = refused(record, {**SEND, **change})
    assert code == "bad_json"
    assert detail.startswith(path + ": expected")


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"tags": "one"}, "bad_json", "tags"),
        ({"tags": ["one", 2]}, "bad_json", "tags[1]"),
        ({"tags": [None]}, "bad_json", "tags[0]"),
        ({"steps": [{"id": "s1"}, {"name": "x"}]}, "missing_field", "steps[1].id"),
        ({"steps": [{"id": 1}]}, "bad_json", "steps[0].id"),
        ({"steps": ["s1"]}, "bad_json", "steps[0]"),
        ({"status": "RUNNING"}, "bad_json", "status"),
        ({"filters": [1]}, "bad_json", "filters"),
    ],
)
def test_nested_fields_are_named_by_their_path(
    change: dict[str, Any], code: str, path: str
) -> None:
    found, detail = refused("definition", {**DEFINITION, **change})
    assert found == code
    assert detail.split(":")[0] == path


def test_parts_may_have_no_name() -> None:
    record = read("definition", {**DEFINITION, "steps": [{"id": "s1"}]})
    assert record["steps"] == [{"id": "s1", "name": ""}]


def test_filters_are_kept_as_their_json_text() -> None:
    filters = {"and": [{"filter": "surprise", "weight": 1.5, "name": "Grüße"}]}
    as_object = read("definition", {**DEFINITION, "filters": filters})
    assert json.loads(as_object["filters"]) == filters
    as_text = read("definition", {**DEFINITION, "filters": as_object["filters"]})
    assert as_text == as_object
    assert decode(encode("definition", as_object)) == as_object
    assert read("definition", DEFINITION)["filters"] is None


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{}}",
        b'{"id": "\xff"}',
        b'{"id": "\\ud800", "user_id": "u", "time": 5}',
        b'{"id": "e", "user_id": "u", "time": ' + b"9" * 5000 + b"}",
        b'{"id": ' + b"[" * 100_000,
        b'{"id": ' + b"[" * 500 + b"]" * 500 + b', "user_id": "u", "time": 5}',
        '{"id": "é"}'.encode("utf-16-le"),
        b'{"key": "canvas:1", "status": "ACTIVE", "filters": {"x": NaN}}',
        b'{"key": "canvas:1", "status": "ACTIVE", "filters": {"x": 1e999}}',
    ],
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    code, detail = refused("definition" if b"canvas" in data else "send", data)
    assert code == "bad_json"
    assert len(detail) < 400


def test_every_true_prefix_is_refused() -> None:
    data = json.dumps({**SEND, "channel": "SMS"}).encode()
    for length in range(1, len(data)):
        assert refused("send", data[:length])[0] == "bad_json"


def test_an_escaped_pair_of_surrogates_is_text() -> None:
    assert read("send", {**SEND, "id": "\U0001f600"})["id"] == "\U0001f600"

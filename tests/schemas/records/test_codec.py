import copy
import io
import json
import pickle
from contextlib import suppress
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import registry
from schemas.records.codec import Undecodable, Unencodable, decode, encode

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=20),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "null": st.none(),
}


def records(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return complete records of one of our schemas."""
    return values(registry.raw(name), {})


def values(schema: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of(*(values(branch, named) for branch in schema))
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind in PRIMITIVES:
        return PRIMITIVES[kind]
    if kind in named:
        return named[kind]
    if kind == "array":
        return st.lists(values(schema["items"], named), max_size=3)
    if kind == "enum":
        found: st.SearchStrategy[Any] = st.sampled_from(schema["symbols"])
    else:
        found = st.fixed_dictionaries(
            {field["name"]: values(field["type"], named) for field in schema["fields"]}
        )
    named[schema["name"]] = found
    return found


NAMED_RECORDS = st.sampled_from(registry.NAMES).flatmap(
    lambda name: st.tuples(st.just(name), records(name))
)

CLICK: dict[str, Any] = {
    "id": "e1",
    "user_id": "u1",
    "external_user_id": None,
    "time": 1_760_000_000_000,
    "campaign_id": "c1",
    "canvas_id": None,
    "canvas_step_id": None,
    "message_variation_id": "v1",
    "canvas_variation_id": None,
    "channel": "EMAIL",
    "link_alias": "cta",
    "url": None,
    "is_suspected_bot_click": False,
}


class OneSchema:
    """A source that knows one foreign writer's schema, by any id."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def writer(self, schema_id: int) -> dict[str, Any]:
        return self.schema


def written(schema: dict[str, Any], record: dict[str, Any], schema_id: int = 900) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema)), record)
    return b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(f for f in schema["fields"] if f["name"] == name)
    return found


def click_schema() -> dict[str, Any]:
    return copy.deepcopy(registry.raw("click"))


def refused(data: bytes, *args: Any) -> tuple[str, str]:
    with pytest.raises(Undecodable) as caught:
        decode(data, *args)
    return caught.value.code, caught.value.detail


@given(NAMED_RECORDS)
def test_a_record_comes_back_as_it_was(named: tuple[str, dict[str, Any]]) -> None:
    name, record = named
    data = encode(name, record)
    assert decode(data) == record
    assert decode(data, name) == record


@given(NAMED_RECORDS)
def test_every_true_prefix_is_undecodable(named: tuple[str, dict[str, Any]]) -> None:
    name, record = named
    data = encode(name, record)
    for length in range(len(data)):
        assert refused(data[:length], name)[0] == "undecodable"


@given(NAMED_RECORDS, st.binary(min_size=1, max_size=5))
def test_bytes_after_the_record_are_not_ignored(
    named: tuple[str, dict[str, Any]], more: bytes
) -> None:
    name, record = named
    assert refused(encode(name, record) + more, name)[0] == "undecodable"


@given(st.sampled_from(registry.NAMES), st.binary(max_size=80))
def test_garbage_raises_nothing_but_undecodable(name: str, garbage: bytes) -> None:
    framed = b"\0" + registry.schema_id(name).to_bytes(4, "big") + garbage
    for data in (framed, garbage, b"{" + garbage):
        with suppress(Undecodable):
            assert isinstance(decode(data, name), dict)


@given(NAMED_RECORDS)
def test_json_and_avro_are_the_same_record(named: tuple[str, dict[str, Any]]) -> None:
    name, record = named
    as_json = json.dumps(record).encode()
    assert decode(as_json, name) == decode(encode(name, record), name)


def test_the_frame_is_confluents() -> None:
    assert encode("click", CLICK)[:5] == b"\0\0\0\0\3"


def test_absent_fields_take_their_defaults_and_times_are_integers() -> None:
    sparse = {"id": "e1", "user_id": "u1", "time": 5}
    record = decode(encode("click", sparse))
    assert record == {**dict.fromkeys(CLICK), **sparse, "channel": "OTHER"}
    assert decode(json.dumps(sparse).encode(), "click") == record
    assert type(record["time"]) is int


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"tiem": 5}, "tiem"),
        ({"time": "today"}, "time"),
        ({"time": 2**63}, "too large"),
        ({"channel": "FAX"}, "FAX"),
        ({"id": None}, "id"),
        ({"id": "\ud800"}, "surrogates"),
    ],
)
def test_what_does_not_fit_is_not_written(change: dict[str, Any], names: str) -> None:
    with pytest.raises(Unencodable, match=names):
        encode("click", {**CLICK, **change})


def test_tuples_and_text_enums_can_be_written() -> None:
    class State(StrEnum):
        HELD = "HELD"

    hold = MappingProxyType({"by": "ann", "since": 5})
    record = {"source": "campaign:1", "state": State.HELD, "version": 1, "updated_at": 1}
    read = decode(encode("state", MappingProxyType({**record, "tags": ("a", "b"), "held": hold})))
    assert read["tags"] == ["a", "b"]
    assert read["held"] == {"by": "ann", "reason": None, "since": 5, "legal": False}
    assert type(read["state"]) is str


def test_a_required_field_must_be_there_to_be_written() -> None:
    with pytest.raises(Unencodable, match="user_id"):
        encode("click", {"id": "e1", "time": 5})


def test_an_unknown_id_and_a_wrong_magic_byte_have_their_codes() -> None:
    assert refused(b"\0\0\0\x12\x67abc", "click") == ("unknown_schema", "4711")
    assert refused(b"\1" + encode("click", CLICK)[1:], "click")[0] == "undecodable"
    assert refused(b"", "click")[0] == "undecodable"


def test_another_record_than_expected_is_refused() -> None:
    code, detail = refused(encode("open", {"id": "e", "user_id": "u", "time": 5}), "click")
    assert code == "undecodable"
    assert "open" in detail
    assert "click" in detail


def test_a_writer_may_have_more_fields_in_another_order() -> None:
    schema = click_schema()
    schema["namespace"] = "com.example"
    schema["fields"].insert(0, {"name": "brand", "type": {"type": "map", "values": "long"}})
    schema["fields"].reverse()
    data = written(schema, {**CLICK, "brand": {"x": 1}})
    assert decode(data, "click", OneSchema(schema)) == CLICK
    assert decode(data, source=OneSchema(schema)) == CLICK


def test_a_writer_may_lack_what_has_a_default() -> None:
    schema = click_schema()
    for name in ("channel", "url"):
        schema["fields"].remove(field(schema, name))
    data = written(schema, CLICK)
    assert decode(data, "click", OneSchema(schema)) == {**CLICK, "channel": "OTHER"}


def test_a_writer_may_not_lack_what_has_none() -> None:
    schema = click_schema()
    schema["fields"].remove(field(schema, "user_id"))
    code, detail = refused(written(schema, CLICK), "click", OneSchema(schema))
    assert code == "missing_field"
    assert detail.startswith("user_id")


def test_a_writers_types_may_be_narrower() -> None:
    schema = click_schema()
    field(schema, "time")["type"] = "int"
    field(schema, "url").update(type="string", default="")
    data = written(schema, {**CLICK, "time": 77, "url": "https://example.com"})
    assert decode(data, "click", OneSchema(schema)) == {
        **CLICK,
        "time": 77,
        "url": "https://example.com",
    }


def test_a_writers_new_symbol_becomes_the_default() -> None:
    schema = click_schema()
    field(schema, "channel")["type"]["symbols"].insert(0, "PIGEON")
    source = OneSchema(schema)
    record = decode(written(schema, {**CLICK, "channel": "PIGEON"}), "click", source)
    assert record["channel"] == "OTHER"
    assert decode(written(schema, CLICK), "click", source) == CLICK


def test_a_new_symbol_of_an_enum_without_default_is_refused() -> None:
    schema = copy.deepcopy(registry.raw("state"))
    field(schema, "state")["type"]["symbols"].append("FROZEN")
    record = {"source": "campaign:1", "state": "FROZEN", "version": 1, "updated_at": 1}
    assert refused(written(schema, record), "state", OneSchema(schema))[0] == "undecodable"


def test_a_schema_that_cannot_be_resolved_is_refused() -> None:
    schema = click_schema()
    field(schema, "id")["type"] = "double"
    data = written(schema, {**CLICK, "id": 1.5})
    assert refused(data, "click", OneSchema(schema))[0] == "undecodable"


def test_a_writers_wrong_default_does_no_harm() -> None:
    schema = click_schema()
    field(schema, "url")["default"] = 5
    data = b"\0\0\0\3\x84" + encode("click", CLICK)[5:]
    assert decode(data, "click", OneSchema(schema)) == CLICK


@pytest.mark.parametrize(
    "fields", [None, "id", [5], [{"name": "id"}], [{"name": "id", "type": "text"}]]
)
def test_an_invalid_schema_is_refused(fields: Any) -> None:
    schema = {"type": "record", "name": "Click", "fields": fields}
    assert refused(encode("click", CLICK), "click", OneSchema(schema))[0] == "unknown_schema"


def test_foreign_records_are_unknown() -> None:
    schema = {"type": "record", "name": "Weather", "fields": []}
    assert refused(written(schema, {}), None, OneSchema(schema))[0] == "unknown_schema"
    assert refused(written(schema, {}), "click", OneSchema(schema))[0] == "undecodable"


def test_a_default_list_belongs_to_the_record_alone() -> None:
    schema = copy.deepcopy(registry.raw("user"))
    schema["fields"].remove(field(schema, "aliases"))
    source = OneSchema(schema)
    for _ in range(2):
        record: dict[str, Any] = decode(written(schema, {"user_id": "u"}), "user", source)
        assert record["aliases"] == []
        record["aliases"].append("mine")


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(Undecodable("bad_json", "time")))
    assert (error.code, error.detail) == ("bad_json", "time")

import json
from pathlib import Path

import fastavro
import polars as pl
import pytest

from schemas.records import registry
from schemas.records.registry import UnknownSchema

IDS = {
    "send": 1,
    "open": 2,
    "click": 3,
    "variant": 4,
    "conversion": 5,
    "signal": 6,
    "user": 17,
    "definition": 8,
    "command": 18,
    "result": 10,
    "expired": 11,
    "restored": 12,
    "expiring_soon": 13,
    "state": 20,
    "audit": 15,
    "report": 21,
}


def test_the_ids_are_those_of_the_contract() -> None:
    assert {name: registry.schema_id(name) for name in registry.NAMES} == IDS


@pytest.mark.parametrize("name", registry.NAMES)
def test_an_id_leads_back_to_its_name(name: str) -> None:
    assert registry.by_id(registry.schema_id(name)) == (name, registry.schema(name))
    assert registry.record_name(registry.raw(name)["name"]) == name
    assert registry.record_name("com.example." + registry.raw(name)["name"]) == name


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_nullable_field_has_the_default_null(name: str) -> None:
    for field in registry.raw(name)["fields"]:
        if isinstance(field["type"], list):
            assert field["type"][0] == "null"
            assert field["default"] is None


def test_a_schema_is_parsed_once() -> None:
    assert registry.schema("send") is registry.schema("send")


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(UnknownSchema) as by_id:
        registry.by_id(4711)
    assert by_id.value.schema == 4711
    with pytest.raises(UnknownSchema) as by_name:
        registry.schema_id("sent")
    assert by_name.value.schema == "sent"


def test_the_layout_has_the_same_bytes_and_polars_takes_it(tmp_path: Path) -> None:
    record = {"id": "1", "user_id": "u", "time": 5, "channel": "SMS", "campaign_id": "c"}
    path = tmp_path / "send.avro"
    with path.open("wb") as out:
        fastavro.writer(out, fastavro.parse_schema(registry.layout(registry.raw("send"))), [record])
    row = pl.read_avro(path).row(0, named=True)
    assert {key: row[key] for key in record} == record
    text = json.dumps(registry.layout(registry.raw("send")))
    assert "logicalType" not in text
    assert '"default"' not in text


def test_without_leaves_the_original_as_it_is() -> None:
    before = json.dumps(registry.raw("state"))
    registry.layout(registry.raw("state"))
    assert json.dumps(registry.raw("state")) == before

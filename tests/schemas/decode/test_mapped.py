"""Records of another program's schema become our events, by the mapping of their topic.

They do so on every path: in a whole batch, in a group, alone, as Avro that Polars does not read,
and as JSON. A value that says nothing to the mapping rejects its record, with the reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decode import blocks
from schemas.decode.batch import RecordBatch
from schemas.decode.decoder import DecodedEvents, decode
from schemas.decode.ingest import ingest
from schemas.decode.mapped import plan_of
from schemas.mapping.topics import parse
from schemas.records import codec, registry
from schemas.records.registry import FILES, UnknownSchema
from tests.rigs.record_batches import INPUTS, NOW, Produced, batch
from tests.rigs.registry_server import written

MAPPING = """
[send]
names = ["MessageSent"]

[send.fields]
id = { hash = ["customer.number", "what", "seen"] }
user_id = "customer.number"
external_user_id = "customer.alias.alias_name"
time = { column = "at", unit = "s" }
campaign_id = { column = "what", absent = ["", "none"] }
channel = { column = "via", values = { "mail" = "EMAIL", "app" = "PUSH", "*" = "OTHER" } }
"""
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "MessageSent",
    "namespace": "com.acme",
    "fields": [
        {"name": "version", "type": "int"},
        {
            "name": "customer",
            "type": {
                "type": "record",
                "name": "Customer",
                "fields": [
                    {"name": "number", "type": {"type": "long"}},
                    {"name": "score", "type": ["null", "double"], "default": None},
                    {
                        "name": "alias",
                        "type": {
                            "type": "record",
                            "name": "Alias",
                            "fields": [
                                {"name": "alias_name", "type": ["string", "null"]},
                                {"name": "alias_label", "type": "string"},
                            ],
                        },
                    },
                ],
            },
        },
        {"name": "at", "type": "double"},
        {"name": "what", "type": {"type": "string", "avro.java.string": "String"}},
        {"name": "via", "type": {"type": "enum", "name": "Via", "symbols": ["fax", "mail", "app"]}},
        {"name": "seen", "type": "boolean"},
    ],
}
ID = 1_007
AT = NOW // 1000


class One:
    """A registry with one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = dict(schema)

    def writer(self, schema_id: int) -> dict[str, Any]:
        if schema_id in registry.REGISTRY:
            return FILES.writer(schema_id)
        if schema_id != ID:
            raise UnknownSchema(schema_id)
        return self._schema


#: The same with a field that makes Polars refuse all of it.
STRANGE = {
    **SCHEMA,
    "fields": [*SCHEMA["fields"], {"name": "more", "type": {"type": "map", "values": "int"}}],
}


def record(number: int = 1, **more: Any) -> dict[str, Any]:
    alias = {"alias_name": f"a{number}", "alias_label": "crm"}
    return {
        "version": 1,
        "customer": {"number": number, "score": None, "alias": alias},
        "at": AT + 0.5,
        "what": "spring",
        "via": "mail",
        "seen": True,
        "more": {"x": 1},
        **more,
    }


def read(
    values: Sequence[bytes | None],
    schema: Mapping[str, Any] = SCHEMA,
    mapping: str = MAPPING,
    kind: str = "send",
) -> DecodedEvents:
    made: RecordBatch = batch([Produced(value) for value in values])
    return decode([made], kind, source=One(schema), mappings=parse(mapping))


def avro(*records: dict[str, Any], schema: Any = SCHEMA) -> list[bytes | None]:
    return [written(schema, ID, one) for one in records]


def as_json(*records: dict[str, Any]) -> list[bytes | None]:
    return [json.dumps(one).encode() for one in records]


def rows(found: DecodedEvents) -> list[dict[str, Any]]:
    return found.frame.sort("offset").drop("batch", "timestamp", "offset").to_dicts()


def codes(found: DecodedEvents) -> list[tuple[int, str]]:
    return sorted((one.offset, one.code) for one in found.rejects)


def test_records_of_another_schema_become_events() -> None:
    found = read(avro(record(1), record(2, via="fax", what="none")))
    assert found.rejects == []
    one, two = rows(found)
    assert one == {
        "id": one["id"],
        "user_id": "1",
        "external_user_id": "a1",
        "time": AT * 1000 + 500,
        "campaign_id": "spring",
        "canvas_id": None,
        "canvas_step_id": None,
        "message_variation_id": None,
        "canvas_variation_id": None,
        "channel": "EMAIL",
    }
    assert (two["user_id"], two["channel"], two["campaign_id"]) == ("2", "OTHER", None)
    assert one["id"] != two["id"]


def test_whole_batches_are_read_as_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def singly(*_: object) -> None:
        raise AssertionError("a record was read alone")

    monkeypatch.setattr("schemas.decode.decoder.decode_records", singly)
    # a bad record does not make the others slow
    found = read(avro(*(record(n, at=float(n > 0) * AT) for n in range(200))))
    assert len(rows(found)) == 199
    assert codes(found) == [(0, "bad_time")]


some = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
records = st.builds(
    lambda number, name, at, what, via: record(
        number,
        customer={
            "number": number,
            "score": 1.5,
            "alias": {"alias_name": name, "alias_label": ""},
        },
        at=at,
        what=what,
        via=via,
    ),
    st.integers(-(1 << 62), 1 << 62),
    st.none() | some,
    st.sampled_from([float(AT), AT + 0.25, AT * 1000.0, 0.0, -1.5, 1e300]),
    some | st.sampled_from(["none", "canvas:a", "campaign:", "campaign:b"]),
    st.sampled_from(["fax", "mail", "app"]),
)


@settings(max_examples=40)
@given(st.lists(records, min_size=1, max_size=20))
def test_every_path_gives_the_same(made: list[dict[str, Any]]) -> None:
    whole = read(avro(*made))
    mixed = read([b"\0\0\0\xff\xff", *avro(*made)])
    assert codes(mixed)[1:] == [(offset + 1, code) for offset, code in codes(whole)]
    assert rows(mixed) == rows(whole)
    strange = read(avro(*made, schema=STRANGE), STRANGE)
    texts = read(as_json(*made))
    for other in (strange, texts):
        assert codes(other) == codes(whole)
        assert rows(other) == rows(whole)


def test_a_bad_value_is_named_and_the_others_are_read() -> None:
    mapping = MAPPING.replace(', "*" = "OTHER"', "").replace("[send]", "[send]\njson = true")
    values = as_json(
        record(1),
        record(2, via="pigeon"),
        record(3, customer={"number": None}),
        record(4, what={"a": 1, "b": 2}),
        record(5, at="soon"),
    )
    found = read(values, mapping=mapping)
    assert [row["user_id"] for row in rows(found)] == ["1"]
    assert sorted((one.offset, one.code, one.detail) for one in found.rejects) == [
        (1, "unmapped", "channel: column via: 'pigeon' is no value that the mapping names"),
        (2, "missing_field", "user_id has no value: customer.number is null or absent"),
        (3, "unmapped", "id: column what has a value of type object"),
        (4, "unmapped", "time: column at: 'soon' is no time in s since 1970"),
    ]


def test_a_schema_that_the_mapping_does_not_fit_rejects_its_records() -> None:
    schema = {**SCHEMA, "fields": [f for f in SCHEMA["fields"] if f["name"] != "what"]}
    found = read(avro(record(1), schema=schema), schema)
    (reject,) = found.rejects
    assert (reject.code, reject.detail) == (
        "unmapped",
        "schema id 1007: id: com.acme.MessageSent has no field 'what'",
    )


def test_values_of_a_union_may_be_in_avros_form() -> None:
    one = record(9, what={"string": "spring"}, at={"double": AT})
    one["customer"] = {"com.acme.Customer": {"number": {"long": 9}, "alias": {"alias_name": None}}}
    one["via"] = {"com.acme.Via": "app"}
    (row,) = rows(read(as_json(one)))
    assert (row["user_id"], row["campaign_id"], row["channel"]) == ("9", "spring", "PUSH")


def test_our_own_records_stay_ours() -> None:
    own = {"id": "e", "user_id": "u", "time": NOW, "campaign_id": "c", "channel": "SMS"}
    ids = (None, registry.own_id("send"))
    values: list[bytes | None] = [codec.encode("send", own, one) for one in ids]
    found = read([*values, *avro(record(3))])
    assert [row["user_id"] for row in rows(found)] == ["u", "u", "3"]
    # JSON too, where the mapping says so
    mapping = MAPPING.replace("[send]", "[send]\njson = false", 1)
    (row,) = rows(read(as_json(own), mapping=mapping))
    assert row["channel"] == "SMS"


def test_a_record_of_another_name_is_not_for_the_mapping() -> None:
    other = {**SCHEMA, "name": "MessageOpened"}
    found = read(avro(record(), schema=other), other)
    assert codes(found) == [(0, "undecodable")]
    free = MAPPING.replace('names = ["MessageSent"]', "json = false")
    assert len(rows(read(avro(record(), schema=other), other, free))) == 1


def test_a_topic_may_have_mappings_for_several_records() -> None:
    texts = [
        MAPPING.replace("[send]", "[[send]]").replace("MessageSent", name)
        for name in ("com.acme.MessageSent", "com.acme.Other")
    ]
    texts[1] = texts[1].replace("[[send]]", "[[send]]\njson = false")
    texts[1] = texts[1].split("channel =")[0] + 'channel = { value = "SMS" }\n'
    mapping = "\n".join(texts)
    other = {**SCHEMA, "name": "Other"}
    (row,) = rows(read(avro(record(), schema=other), other, mapping))
    assert row["channel"] == "SMS"
    (row,) = rows(read(avro(record()), SCHEMA, mapping))
    assert row["channel"] == "EMAIL"


def test_the_unit_of_a_time_may_come_from_the_schema() -> None:
    fields = [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
        if field["name"] == "at"
        else field
        for field in SCHEMA["fields"]
    ]
    mapping = MAPPING.replace(', unit = "s"', "").replace("[send]", "[send]\njson = false", 1)
    schema = {**SCHEMA, "fields": fields}
    for one in (schema, {**schema, "fields": [*fields, STRANGE["fields"][-1]]}):
        (row,) = rows(read(avro(record(at=NOW * 1000 + 7), schema=one), one, mapping))
        assert row["time"] == NOW


def test_misplaced_mapped_events_are_forwarded_as_they_are() -> None:
    inputs = replace(INPUTS, mappings=parse(MAPPING))
    values = avro(*(record(n) for n in range(40)))
    made = batch([Produced(value) for value in values])
    taken = ingest([made], 0, 4, inputs, source=One(SCHEMA))
    assert 0 < taken.events < 40
    sent = [one.value for forward in taken.forwards for one in forward.records]
    assert len(sent) + taken.events == 40
    assert set(sent) <= set(values)


def test_the_plan_is_made_once_for_a_schema_id() -> None:
    source, mappings = One(SCHEMA), parse(MAPPING)["send"]
    assert plan_of("send", ID, source, mappings) is plan_of("send", ID, source, mappings)
    assert blocks.peek(batch([Produced(avro(record())[0])])) is not None

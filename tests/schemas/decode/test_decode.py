"""The fast decoders read exactly what the codec reads, for any batch."""

import io
import json
from typing import Any

import fastavro
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decode.batch import RecordBatch, unpack
from schemas.decode.blocks import Misfit, peek, read_batches
from schemas.decode.decoder import DecodedEvents, RecordLimits, decode
from schemas.decode.plan import plan
from schemas.mapping.field_types import event_types
from schemas.records import codec, registry
from schemas.records.registry import FILES
from schemas.records.undecodable import Undecodable
from schemas.tables.interaction import CHANNELS
from schemas.tables.view import fields
from tests.rigs.record_batches import CODECS, NOW, Produced, batch, with_payload

EVENTS = ("send", "open", "click", "variant", "conversion", "signal")
SIGNALS = event_types("signal")["signal_type"]
DAY = 86_400_000
ID = fields({"id": pl.String()})

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
some = st.text("abc-", min_size=1, max_size=40)
values: dict[str, st.SearchStrategy[Any]] = {
    "id": some,
    "user_id": some | text,
    "time": st.integers(NOW - DAY, NOW + DAY) | st.sampled_from([0, NOW + DAY + 6000]),
    "channel": st.sampled_from(CHANNELS),
    "signal_type": st.sampled_from(SIGNALS.categories.to_list()),  # type: ignore[attr-defined]
    "conversion_behavior_index": st.none() | st.integers(-1, 4),
    "campaign_id": st.none() | some,
    "canvas_id": st.none() | st.none() | st.none() | some,
}
booleans = {"machine_open", "is_suspected_bot_click", "in_control_group", "exited", "cleared"}


def events(event: str) -> st.SearchStrategy[dict[str, Any]]:
    def field(name: str) -> st.SearchStrategy[Any]:
        if name in booleans:
            return st.none() | st.booleans()
        return values.get(name, st.none() | text)

    return st.fixed_dictionaries({name: field(name) for name in event_types(event)})


@st.composite
def record_values(draw: st.DrawFn, event: str, dirty: bool) -> bytes | None:
    fields = draw(events(event))
    value = codec.encode(event, fields)
    if not dirty:
        return value
    how = draw(st.sampled_from(["avro"] * 5 + list("jtxgnuo")))
    if how == "j":
        return json.dumps(fields).encode()
    if how == "t":
        return value[: draw(st.integers(0, len(value) - 1))]
    if how == "x":
        return value + draw(st.binary(min_size=1, max_size=9) | st.just(b"\0"))
    if how == "g":
        return draw(st.binary(max_size=60))
    if how == "n":
        return None
    if how == "u":
        return b"\0\0\0\xff\xff" + value[5:]
    if how == "o":
        other = EVENTS[EVENTS.index(event) - 1]
        return b"\0" + registry.schema_id(other).to_bytes(4, "big") + value[5:]
    return value


@st.composite
def random_batches(draw: st.DrawFn, event: str) -> list[RecordBatch]:
    found: list[RecordBatch] = []
    base = 0
    for _ in range(draw(st.integers(1, 4))):
        dirty = draw(st.booleans())
        keys = draw(st.sampled_from([st.none(), st.binary(max_size=30), st.none() | st.binary()]))
        heads = draw(st.sampled_from([0, 0, 1, 2])) if not dirty else draw(st.integers(0, 2))
        size = draw(st.integers(1, 30))
        records = [
            Produced(
                draw(record_values(event, dirty)),
                draw(keys),
                NOW + draw(st.integers(-5000, 5000)),
                [(f"h{i}", draw(st.binary(max_size=5))) for i in range(heads)],
            )
            for _ in range(size)
        ]
        if dirty and draw(st.booleans()):
            records[-1] = records[-1]._replace(headers=[("h", None)])
        gaps = draw(st.lists(st.integers(1, 3), min_size=size, max_size=size))
        offsets = None
        if draw(st.booleans()):
            offsets = [sum(gaps[:i]) for i in range(size)]
        attributes = draw(st.sampled_from([0, 0, 0x08]))
        found.append(
            batch(
                records,
                base_offset=base,
                codec=draw(st.sampled_from(list(CODECS.values()))),
                attributes=attributes,
                offsets=offsets,
            )
        )
        base = found[-1].next_offset
    return found


def verdict(event: str, row: dict[str, Any], timestamp: int, limit: int) -> str | None:
    """The rules of schemas.decode.check, in plain Python."""
    if any(row.get(n) == "" for n in ("id", "user_id", "campaign_id", "canvas_id")):
        return "missing_field"
    if row["campaign_id"] is not None and row["canvas_id"] is not None:
        return "two_sources"
    if not 946_684_800_000 <= row["time"] <= timestamp + DAY:
        return "bad_time"
    if (row.get("conversion_behavior_index") or 0) not in range(4):
        return "undecodable"
    texts = [value for name, value in row.items() if isinstance(value, str)]
    if any(len(value.encode()) > limit for value in texts):
        return "too_long"
    return None


def compare(batches: list[RecordBatch], event: str, limits: RecordLimits) -> DecodedEvents:
    rows: list[dict[str, Any]] = []
    rejects: list[tuple[int, str, bytes | None, bytes | None]] = []
    for number, one in enumerate(batches):
        for record in unpack(one):
            code: str | None = "undecodable"
            row: dict[str, Any] = {}
            if record.value is not None:
                try:
                    row = codec.decode(record.value, event)
                    code = verdict(event, row, record.timestamp, limits.max_field_bytes)
                except Undecodable as error:
                    code = error.code
            if code is None:
                place = {"batch": number, "offset": record.offset, "timestamp": record.timestamp}
                rows.append(row | place)
            else:
                rejects.append((record.offset, code, record.key, record.value))

    found = decode(batches, event, limits=limits)

    assert found.frame.sort("offset").rows(named=True) == rows
    assert sorted((r.offset, r.code, r.key, r.value) for r in found.rejects) == sorted(rejects)
    return found


@pytest.mark.parametrize("event", EVENTS)
@given(data=st.data(), limit=st.sampled_from([512, 30]))
@settings(max_examples=25, deadline=None)
def test_equals_the_codec(event: str, data: st.DataObject, limit: int) -> None:
    batches = data.draw(random_batches(event))

    compare(batches, event, RecordLimits(max_field_bytes=limit))


def send(number: int, **fields: Any) -> bytes:
    event = {"id": f"id{number}", "user_id": f"user{number % 7}", "time": NOW + number}
    return codec.encode("send", event | {"campaign_id": "c1", "channel": "PUSH"} | fields)


def sends(count: int) -> list[Produced]:
    return [Produced(send(i), f"user{i % 7}".encode(), NOW + i) for i in range(count)]


@pytest.mark.parametrize("headers", [0, 1, 3])
@pytest.mark.parametrize("key", [None, b"", b"user"])
def test_clean_batches_are_read_as_blocks(key: bytes | None, headers: int) -> None:
    heads = [(f"h{i}", b"x" * i) for i in range(headers)]
    records = [Produced(send(i), key, NOW, heads) for i in range(200)]
    found = batch(records, base_offset=5)
    shape = peek(found)
    chosen = plan("send", registry.schema_id("send"), FILES)

    assert shape is not None
    assert chosen is not None
    read = read_batches(shape, chosen, [(3, found), (4, found)], ID, 10_000)

    assert read.frame["offset"].to_list() == [*range(5, 205)] * 2
    assert read.frame["batch"].to_list() == [3] * 200 + [4] * 200
    assert read.longest < 200
    assert not read.broken


@pytest.mark.parametrize("tail", [b"\0", b"\0\0", b"x", b"\x02ab"])
def test_bytes_after_the_last_body_are_noticed(tail: bytes) -> None:
    records = sends(20)
    records[-1] = records[-1]._replace(value=(records[-1].value or b"") + tail)
    found = batch(records)
    shape = peek(found)
    chosen = plan("send", registry.schema_id("send"), FILES)

    assert shape is not None
    assert chosen is not None
    with pytest.raises(Misfit):
        read_batches(shape, chosen, [(0, found)], ID, 10_000)
    assert [r.offset for r in compare([found], "send", RecordLimits()).rejects] == [19]


def test_one_bad_batch_leaves_the_others_alone() -> None:
    good = [batch(sends(50), base_offset=50 * i) for i in range(3)]
    bad = [*sends(50)[:-1], Produced(b"rubbish", b"k", NOW)]

    found = compare([*good, batch(bad, base_offset=150)], "send", RecordLimits())

    assert found.frame.height == 199


@given(st.integers(0, 19), st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_wrong_byte_harms_no_other_record(bad: int, at: int, flip: int) -> None:
    records = sends(20)
    value = bytearray(records[bad].value or b"")
    value[at % len(value)] ^= flip
    clean = decode([batch(records)], "send").frame
    records[bad] = records[bad]._replace(value=bytes(value))

    found = decode([batch(records)], "send")

    others = pl.col("offset") != bad
    assert found.frame.filter(others).sort("offset").equals(clean.filter(others))
    assert found.frame.height + len(found.rejects) == 20


def test_all_garbage() -> None:
    records = [Produced(b"\0\0\0\0\x01" + bytes([i % 256] * (i % 40)), b"k") for i in range(500)]

    assert compare([batch(records)], "send", RecordLimits()).frame.height == 0


def test_a_record_that_is_too_large() -> None:
    records = [*sends(3), Produced(send(3, external_user_id="x" * 5000), b"k", NOW)]

    found = decode([batch(records)], "send", limits=RecordLimits(max_record_bytes=4000))

    [rejected] = found.rejects
    assert (rejected.code, rejected.offset) == ("too_large", 3)
    assert len(rejected.value or b"") == 3999


def test_only_the_columns_asked_for() -> None:
    found = decode([batch([*sends(3), Produced(b"{}")])], "send", columns=["user_id"])

    assert found.frame.columns == ["user_id", "batch", "offset", "timestamp"]
    assert decode([], "send").frame.columns == [*event_types("send"), *found.frame.columns[1:]]


def test_a_count_that_is_wrong_is_not_believed() -> None:
    found = batch(sends(10))
    shape = peek(found)
    chosen = plan("send", registry.schema_id("send"), FILES)
    assert shape is not None
    assert chosen is not None

    for count in (9, 11):
        wrong = with_payload(found, found.payload, count)
        with pytest.raises(Misfit):
            read_batches(shape, chosen, [(0, wrong)], ID, 10_000)


class Writers:
    """Schemas of other writers: 900 older, 901 with more and other symbols, 902 beyond Polars."""

    def __init__(self) -> None:
        fields = registry.layout(registry.raw("send"))["fields"]
        channel = {"type": "enum", "name": "Channel", "symbols": ["PIGEON", "PUSH", "EMAIL"]}
        self._fields = {
            900: [f for f in fields if f["name"] not in ("canvas_id", "channel")],
            901: [
                {"name": "extra", "type": "double"},
                *({**f, "type": channel} if f["name"] == "channel" else f for f in fields[::-1]),
            ],
            902: [*fields, {"name": "tags", "type": {"type": "array", "items": "string"}}],
            903: [f for f in fields if f["name"] != "user_id"],
        }

    def writer(self, schema_id: int) -> dict[str, Any]:
        if schema_id not in self._fields:
            return FILES.writer(schema_id)
        return {"type": "record", "name": "Send", "fields": self._fields[schema_id]}


@pytest.mark.parametrize("schema_id", [900, 901, 902, 903])
def test_other_writers_schemas(schema_id: int) -> None:
    source = Writers()
    written = fastavro.parse_schema(source.writer(schema_id))
    records: list[Produced] = []
    for number in range(60):
        event = {"id": f"{number}", "user_id": "u", "time": NOW, "campaign_id": "c", "extra": 1.5}
        event["channel"] = ["PIGEON", "PUSH", "EMAIL"][number % 3] if schema_id == 901 else "PUSH"
        event["tags"] = ["a"]
        out = io.BytesIO()
        fastavro.schemaless_writer(out, written, event)
        records.append(Produced(b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()))
    chosen = plan("send", schema_id, source)

    assert (chosen is None) == (schema_id in (902, 903))
    for extra in ([], [Produced(b"junk")]):
        found = decode([batch(records + extra)], "send", source=source)

        if schema_id == 903:
            assert {r.code for r in found.rejects} <= {"missing_field", "undecodable"}
            assert found.frame.height == 0
        else:
            rows = found.frame.drop("batch", "offset", "timestamp").rows(named=True)
            assert len(rows) == 60
            expected = [codec.decode(r.value or b"", "send", source) for r in records]
            assert sorted(rows, key=by_id) == sorted(expected, key=by_id)


def by_id(row: dict[str, Any]) -> str:
    return str(row["id"])


def test_offsets_must_rise() -> None:
    found = batch(sends(10), offsets=[0, 1, 2, 3, 3, 5, 6, 7, 8, 9])
    shape = peek(found)
    chosen = plan("send", registry.schema_id("send"), FILES)
    assert shape is not None
    assert chosen is not None

    with pytest.raises(Misfit, match="framing"):
        read_batches(shape, chosen, [(0, found)], ID, 10_000)


def test_schema_of_frames() -> None:
    place = {"batch": pl.UInt32(), "offset": pl.Int64(), "timestamp": pl.Int64()}

    assert dict(decode([batch(sends(3))], "send").frame.schema) == {**event_types("send"), **place}


@pytest.mark.parametrize("time", [253_402_300_800_000, (1 << 63) - 1])
def test_a_time_that_no_calendar_has_is_rejected_without_a_timestamp_too(time: int) -> None:
    value = codec.encode("send", {"id": "e", "user_id": "u", "time": time, "campaign_id": "c"})
    found = decode([batch([Produced(value, timestamp=-1)])], "send")
    assert [reject.code for reject in found.rejects] == ["bad_time"]


class Written:
    """A source with one writer's schema, under any id."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def writer(self, schema_id: int) -> dict[str, Any]:
        return self._schema


def with_channels(symbols: list[str], order: int = 1) -> dict[str, Any]:
    """The schema of sends with other symbols for its channel."""
    schema = json.loads(json.dumps(registry.raw("send")))
    for field in schema["fields"]:
        if field["name"] == "channel":
            field["type"] |= {"symbols": symbols, "default": symbols[-1]}
            field["default"] = symbols[-1]
    return {**schema, "fields": schema["fields"][::order]}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("alone", [True, False])
def test_channels_of_a_writer_may_be_in_any_case(order: int, count: int, alone: bool) -> None:
    schema = with_channels(["sms", "Email", "pigeon"], order)
    values = []
    for i in range(count):
        out = io.BytesIO(b"\0\0\0\0\x01")
        out.seek(5)
        channel = ("sms", "Email", "pigeon")[i % 3]
        event = {"id": str(i), "user_id": "u", "time": NOW, "channel": channel}
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), event)
        values.append(out.getvalue())
    records = [Produced(value) for value in values] + ([] if alone else [Produced(b"garbage")])
    found = decode([batch(records)], "send", columns={"channel"}, source=Written(schema))
    channels = found.frame.sort("offset")["channel"].to_list()
    assert channels == [("SMS", "EMAIL", "OTHER")[i % 3] for i in range(count)]


def test_symbols_that_differ_in_their_case_only_are_no_schema_of_ours() -> None:
    schema = with_channels(["sms", "SMS"])
    found = decode(
        [batch([Produced(codec.encode("send", {"id": "1", "user_id": "u", "time": NOW}))])],
        "send",
        source=Written(schema),
    )
    assert [reject.code for reject in found.rejects] == ["unknown_schema"]


@pytest.mark.parametrize(("written", "read"), [("email", "EMAIL"), ("Sms", "SMS"), ("x", "OTHER")])
def test_channels_in_json_may_be_in_any_case(written: str, read: str) -> None:
    event = {"id": "1", "user_id": "u", "time": NOW, "channel": written}
    found = decode([batch([Produced(json.dumps(event).encode())])], "send")
    assert found.frame["channel"].to_list() == [read]


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    ("ids", "code", "detail"),
    [
        ({"campaign_id": "canvas:a"}, "undecodable", "campaign_id canvas:a names no campaign"),
        ({"campaign_id": "segment:a"}, "undecodable", "campaign_id segment:a names no campaign"),
        ({"canvas_id": "campaign:a"}, "undecodable", "canvas_id campaign:a names no canvas"),
        ({"campaign_id": "campaign:"}, "missing_field", "campaign_id names no campaign"),
    ],
)
def test_an_id_that_names_something_else_is_rejected(
    as_json: bool, ids: dict[str, str], code: str, detail: str
) -> None:
    event = {"id": "1", "user_id": "u", "time": NOW, **ids}
    value = json.dumps(event).encode() if as_json else codec.encode("open", event)
    found = decode([batch([Produced(value)])], "open")
    assert [(one.code, one.detail) for one in found.rejects] == [(code, detail)]
    assert found.frame.is_empty()

"""Schemas of a registry over HTTP: requested once, never mistaken for others, and with a limited
wait, for any answer of the registry.
"""

import asyncio
import io
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import fastavro
import pytest

from schemas.decode.ingest import ingest
from schemas.errors import Fatal, UsageError
from schemas.records import registry
from schemas.records.codec import Undecodable, decode, encode
from schemas.records.registry import UnknownSchema
from streams.devbroker.certificates import Authority
from streams.kafka.bounded_http import basic
from streams.kafka.remote_registry import (
    HttpSource,
    Known,
    RegistryUnreachable,
    SchemaAwaited,
    learn,
    registry_of,
    source_for,
)
from streams.settings import Settings, describe, load
from tests.rigs.record_batches import INPUTS, NOW, Produced, batch
from tests.rigs.registry_server import RegistryServer, serving, written

SEND = {"id": "e", "user_id": "u", "time": NOW, "campaign_id": "c"}
SECRET = "s3cr:t@"


@pytest.fixture
def remote() -> Iterator[RegistryServer]:
    with serving() as server:
        yield server


def settings(url: str, **more: Any) -> Settings:
    return load({"schema_registry_url": url, **more}, env={}, file=Path("none"))


def send_with(*fields: Any, **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Send", "fields": list(fields), **more}


TEXT = {"name": "id", "type": "string"}
USER = {"name": "user_id", "type": "string"}
TIME = {"name": "time", "type": "long"}


def test_a_remote_schema_is_asked_for_once(remote: RegistryServer) -> None:
    schema_id = remote.register("t.interactions.send-value", registry.raw("send"))
    source = HttpSource(remote.url + "/")
    assert source.writer(schema_id) == registry.raw("send")
    assert source.writer(schema_id) is source.writer(schema_id)
    assert remote.asked == ["GET /schemas/ids/1"]


def test_the_registrys_id_1_with_the_same_types_in_another_order(remote: RegistryServer) -> None:
    """The danger: both authorities count from 1, and the bytes fit either schema."""
    other = send_with(USER, TEXT, *registry.raw("send")["fields"][2:])
    assert remote.register("t.interactions.send-value", other) == 1
    source = HttpSource(remote.url)
    theirs = written(other, 1, SEND)
    ours = encode("send", SEND, registry.own_id("send"))
    by_registry = encode("send", SEND, source.id_of("send", "t.interactions.send"))
    for value in (theirs, ours, by_registry):
        for count in (1, 20):  # singly, and as a block
            taken = ingest([batch([Produced(value)] * count)], 0, 1, INPUTS, source=source)
            assert taken.interactions["user"].to_list() == ["u"] * count
    # without a registry ids of our own range are ours, those of others are refused
    taken = ingest([batch([Produced(ours)])], 0, 1, INPUTS)
    assert taken.interactions["user"].to_list() == ["u"]
    assert registry.own_id("send") not in (1, 2)


def test_our_own_id_is_never_requested(remote: RegistryServer) -> None:
    source = HttpSource(remote.url)
    for name in registry.NAMES:
        assert source.writer(registry.own_id(name)) == registry.raw(name)
    assert remote.asked == []


def test_our_schemas_are_registered_once_and_found_again(remote: RegistryServer) -> None:
    remote.register("t.interactions.open-value", registry.raw("open"))
    source = HttpSource(remote.url)
    assert source.id_of("open", "t.interactions.open") == 1
    assert source.id_of("send", "t.interactions.send") == 2
    assert source.id_of("send", "t.interactions.send") == 2
    assert remote.asked == [
        "POST /subjects/t.interactions.open-value",
        "POST /subjects/t.interactions.send-value",
        "POST /subjects/t.interactions.send-value/versions",
    ]
    assert source.writer(2) == registry.raw("send")


@pytest.mark.parametrize("status", [401, 403, 409, 422])
def test_a_registry_that_refuses_our_schema_is_an_error(
    remote: RegistryServer, status: int
) -> None:
    remote.raw["/subjects/t.users-value"] = (status, b'{"message": "incompatible"}')
    with pytest.raises(Fatal, match="incompatible"):
        HttpSource(remote.url).id_of("user", "t.users")


def test_a_registry_that_assigns_our_own_id_is_an_error(remote: RegistryServer) -> None:
    given = json.dumps({"id": registry.own_id("user")}).encode()
    remote.raw["/subjects/t.users-value"] = (200, given)
    with pytest.raises(RegistryUnreachable):
        HttpSource(remote.url).id_of("user", "t.users")


@pytest.mark.parametrize(
    ("logical", "unit"),
    [("timestamp-micros", 1_000), ("timestamp-nanos", 1_000_000), ("local-timestamp-micros", 1000)],
)
@pytest.mark.parametrize("count", [1, 20])
def test_times_in_other_units_become_milliseconds(
    remote: RegistryServer, logical: str, unit: int, count: int
) -> None:
    time_type = {"type": "long", "logicalType": logical}
    schema = send_with(TEXT, USER, {"name": "time", "type": time_type})
    schema_id = remote.register("s", schema)
    plain = send_with(TEXT, USER, TIME)
    value = written(plain, schema_id, SEND | {"time": NOW * unit + unit - 1})
    source = HttpSource(remote.url)
    assert decode(value, "send", source)["time"] == NOW
    taken = ingest([batch([Produced(value)] * count)], 0, 1, INPUTS, source=source)
    assert taken.interactions["last"].to_list() == [NOW] * count
    garbage = [Produced(value)] * count + [Produced(b"\0")]
    taken = ingest([batch(garbage)], 0, 1, INPUTS, source=source)
    assert taken.interactions["last"].to_list() == [NOW] * count


def test_types_of_other_schemas_are_found_by_their_references(remote: RegistryServer) -> None:
    channel = {"type": "enum", "name": "Channel", "namespace": "acme", "symbols": ["sms", "X"]}
    remote.register("channel", channel)
    brand = {"type": "record", "name": "Brand", "namespace": "acme",
             "fields": [{"name": "via", "type": "Channel"}]}  # fmt: skip
    to_channel = {"name": "acme.Channel", "subject": "channel", "version": 1}
    remote.register("brand", brand, [to_channel])
    fields = [
        TEXT,
        USER,
        TIME,
        {"name": "brand", "type": "acme.Brand"},
        {"name": "channel", "type": "acme.Channel"},
    ]
    to_brand = {"name": "acme.Brand", "subject": "brand", "version": 1}
    schema_id = remote.register("send", send_with(*fields), [to_brand, to_channel])
    named: dict[str, Any] = {}
    for one in (channel, brand):
        fastavro.parse_schema(one, named)
    out = io.BytesIO()
    record = {"id": "e", "user_id": "u", "time": NOW, "brand": {"via": "X"}, "channel": "sms"}
    parsed = fastavro.parse_schema(send_with(*fields), named)
    fastavro.schemaless_writer(out, parsed, record)
    value = b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()
    found = decode(value, "send", HttpSource(remote.url))
    assert (found["user_id"], found["channel"]) == ("u", "SMS")


@pytest.mark.parametrize(
    "references",
    [
        [{"name": "x", "subject": "none", "version": 1}],
        [{"name": "x", "subject": "loop", "version": 1}],
        [{"name": "x"}],
        "x",
        [5],
    ],
)
def test_references_that_lead_nowhere(remote: RegistryServer, references: Any) -> None:
    loop = [{"name": "x", "subject": "loop", "version": 1}]
    remote.register("loop", send_with({"name": "x", "type": "x"}), loop)
    remote.put(9, send_with({"name": "x", "type": "x"}), references=references)
    with pytest.raises(UnknownSchema):
        HttpSource(remote.url).writer(9)


NODE = {"type": "record", "name": "Node", "fields": [{"name": "n", "type": ["null", "Node"]}]}
EMPTY = {"type": "record", "name": "Empty", "fields": []}


def doubling(levels: int) -> Any:
    found: Any = {"type": "record", "name": "R0", "fields": [{"name": "x", "type": "null"}]}
    for n in range(1, levels):
        fields = [{"name": "a", "type": found}, {"name": "b", "type": f"R{n - 1}"}]
        found = {"type": "record", "name": f"R{n}", "fields": fields}
    return found


HOSTILE = {
    "array of null": send_with({"name": "x", "type": {"type": "array", "items": "null"}}),
    "array of nothing": send_with({"name": "x", "type": {"type": "array", "items": EMPTY}}),
    "array of fixed 0": send_with(
        {"name": "x", "type": {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}}
    ),
    "array of much nothing": send_with(
        {
            "name": "x",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "R",
                    "fields": [TEXT, *({"name": f"n{i}", "type": "null"} for i in range(1_000))],
                },
            },
        }
    ),
    "much nothing": send_with(TEXT, *({"name": f"n{i}", "type": "null"} for i in range(1_000))),
    "itself": send_with({"name": "x", "type": NODE}),
    "doubling": send_with({"name": "x", "type": doubling(38)}),
    "not defined": send_with({"name": "x", "type": "Nobody"}),
    "no fields": {"type": "record", "name": "Send"},
    "fields of numbers": {"type": "record", "name": "Send", "fields": [1, 2]},
    "no name": {"type": "record", "fields": []},
    "a string": "string",
    "deep": '{"type":' * 50_000,
    "deep list": "[" * 100_000 + "]" * 100_000,
    "not JSON": "message X {}",
    "long": json.dumps(send_with(*({"name": f"f{i}", "type": "int"} for i in range(18_000)))),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_schema_that_costs_too_much_is_unknown(remote: RegistryServer, what: str) -> None:
    schema = HOSTILE[what]
    text = schema if isinstance(schema, str) and what != "a string" else json.dumps(schema)
    remote.put(9, text)
    source = HttpSource(remote.url)
    began = time.process_time()
    value = b"\0\0\0\0\x09" + b"\xfe" * 8 + b"\x7f" + b"\xff" * 50
    taken = ingest([batch([Produced(value)] * 20)], 0, 1, INPUTS, source=source)
    assert {reject.code for reject in taken.rejects} == {"unknown_schema"}
    assert len(taken.rejects) == 20
    assert time.process_time() - began < 5


def test_a_count_beyond_the_bytes_ends_with_them(remote: RegistryServer) -> None:
    schema = send_with(
        TEXT, USER, TIME, {"name": "x", "type": {"type": "array", "items": "boolean"}}
    )
    schema_id = remote.register("s", schema)
    whole = written(schema, schema_id, SEND | {"x": []})
    huge = whole[:-1] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\x00" * 100
    with pytest.raises(Undecodable):
        decode(huge, "send", HttpSource(remote.url))


@pytest.mark.parametrize("kind", ["PROTOBUF", "JSON"])
def test_what_is_no_avro_is_unknown(remote: RegistryServer, kind: str) -> None:
    remote.put(7, "message X {}", schemaType=kind)
    with pytest.raises(UnknownSchema):
        HttpSource(remote.url).writer(7)


def test_an_unknown_id_is_asked_for_again_only_after_a_while(remote: RegistryServer) -> None:
    now = 0.0
    source = HttpSource(remote.url, forget_after=60, monotonic=lambda: now)
    for moment in (0.0, 59.0, 61.0):
        now = moment
        with pytest.raises(UnknownSchema):
            source.writer(9999)
    assert len(remote.asked) == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"error_code": 50001}'),
        (200, b'{"hello": "world"}'),
        (200, b"nonsense"),
        (200, b'["x"]'),
        (200, b"[" * 100_000),
        (200, b'{"schema": 5}'),
        (200, b" " * 3_000_000),
        (204, b""),
    ],
)
def test_a_broken_registry_is_not_an_unknown_schema(
    remote: RegistryServer, status: int, body: bytes
) -> None:
    remote.raw["/schemas/ids/7"] = (status, body)
    with pytest.raises(RegistryUnreachable, match="schema_registry_url"):
        HttpSource(remote.url).writer(7)


def test_a_registry_that_drips_is_given_up(remote: RegistryServer) -> None:
    remote.drips = True
    began = time.monotonic()
    with pytest.raises(RegistryUnreachable, match=r"no whole answer within 0\.5 s"):
        HttpSource(remote.url, timeout=0.5).writer(1)
    assert time.monotonic() - began < 3


def test_who_asks_for_another_id_does_not_wait_for_a_slow_one(remote: RegistryServer) -> None:
    schema_id = remote.register("s", registry.raw("send"))
    source = HttpSource(remote.url, timeout=60)
    source.writer(schema_id)
    remote.drips = True

    def ask() -> None:
        with pytest.raises(RegistryUnreachable):
            source.writer(77)

    slow = Thread(target=ask)
    slow.start()
    while len(remote.asked) < 2:
        time.sleep(0.001)
    assert source.writer(schema_id) == registry.raw("send")
    assert source.known(78) is None
    assert slow.is_alive()
    remote.closing.set()
    slow.join(30)
    assert not slow.is_alive()


def test_after_a_failure_nothing_is_asked_for_a_while(remote: RegistryServer) -> None:
    now = 0.0
    schema_id = remote.register("s", registry.raw("send"))
    source = HttpSource(remote.url, rest=2, monotonic=lambda: now)
    remote.down = True
    for moment in (0.0, 1.0, 1.9):
        now = moment
        with pytest.raises(RegistryUnreachable, match="status 503"):
            source.writer(schema_id)
    assert len(remote.asked) == 1
    remote.down, now = False, 2.1
    assert source.writer(schema_id) == registry.raw("send")


def test_redirects_are_not_followed(remote: RegistryServer) -> None:
    with serving() as other:
        schema_id = other.register("s", registry.raw("send"))
        path = f"/schemas/ids/{schema_id}"
        remote.raw[path], remote.headers[path] = (302, b""), {"Location": other.url + path}
        with pytest.raises(RegistryUnreachable, match="redirects are not followed"):
            HttpSource(remote.url, authorization=lambda: basic("u", SECRET)).writer(schema_id)
        assert other.asked == []


def test_an_absent_registry_is_recoverable(remote: RegistryServer) -> None:
    url = remote.url
    remote.server_close()
    with pytest.raises(RegistryUnreachable):
        HttpSource(url, timeout=5).writer(7001)


def test_something_else_than_a_web_server_is_an_absent_registry() -> None:
    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-x\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(RegistryUnreachable):
            HttpSource(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=5).writer(7001)
        thread.join(5)


@pytest.mark.parametrize("how", ["settings", "file", "url"])
def test_credentials_are_sent_and_shown_nowhere(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving("ann", SECRET) as server:
        schema_id = server.register("s", registry.raw("send"))
        plain = server.url
        file = tmp_path / "password"
        file.write_text(f"{SECRET}\n")
        given: dict[str, Any] = {
            "settings": {"schema_registry_user": "ann", "schema_registry_password": SECRET},
            "file": {"schema_registry_user": "ann", "schema_registry_password_file": str(file)},
            "url": {},
        }[how]
        login = "ann:s3cr%3At%40@" if how == "url" else ""
        made = settings(plain.replace("//", f"//{login}"), **given)
        source = registry_of(made)
        assert source is not None
        assert source.writer(schema_id) == registry.raw("send")
        server.down = True
        with pytest.raises(RegistryUnreachable) as caught:
            source.writer(77)
    shown = [str(caught.value), repr(made), caplog.text, *(line.value for line in describe(made))]
    assert not any(word in text for text in shown for word in (SECRET, "s3cr", "ann:"))
    assert plain in str(caught.value)


def test_a_wrong_address_is_not_quoted_and_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        settings(f"ftp://ann:{SECRET}@x")
    assert SECRET not in str(caught.value)
    with pytest.raises(UsageError, match="/none"):
        registry_of(settings("http://x", schema_registry_password_file="/none"))


def test_without_a_url_the_files_are_the_source() -> None:
    assert source_for(settings("")) is registry.FILES
    assert registry_of(settings("")) is None
    made = settings("http://127.0.0.1:1")
    assert isinstance(source_for(made), Known)
    assert source_for(made) is source_for(settings("http://127.0.0.1:1"))


async def test_workers_ask_beside_decoding_and_never_within(remote: RegistryServer) -> None:
    schema_id = remote.register("s", registry.raw("send"))
    source = HttpSource(remote.url)
    known = Known(source)
    with pytest.raises(SchemaAwaited):
        known.writer(schema_id)
    assert remote.asked == []
    await asyncio.wait_for(learn(source, [schema_id, 404]), 10)
    assert known.writer(schema_id) == registry.raw("send")
    with pytest.raises(UnknownSchema):
        known.writer(404)
    remote.down = True
    with pytest.raises(RegistryUnreachable):
        await asyncio.wait_for(learn(source, [77]), 10)


def test_an_id_that_garbage_had_first_is_known_soon_after_it_is_assigned(
    remote: RegistryServer,
) -> None:
    now = 100.0
    source = HttpSource(remote.url, monotonic=lambda: now)
    with pytest.raises(UnknownSchema):
        source.writer(7)
    remote.put(7, registry.raw("send"))
    now += 20.0
    assert source.known(7) is None, "it is asked for again"
    assert source.writer(7)["name"] == registry.raw("send")["name"]


async def test_a_flood_of_unknown_ids_costs_a_bounded_number_of_calls(
    remote: RegistryServer,
) -> None:
    now = 100.0
    source = HttpSource(remote.url, misses=20, monotonic=lambda: now)
    known = Known(source)
    old = remote.put(1_000, registry.raw("send"))
    await learn(source, [old])
    # a schema that is new, among records of garbage, each with an id of its own
    new = remote.put(1_001, registry.raw("open"))
    remote.asked.clear()
    await asyncio.wait_for(learn(source, {*range(5_000, 105_000), new}), 30)
    assert known.writer(new) == registry.raw("open")
    assert len(remote.asked) == 21, "only ids without a schema are counted"
    with pytest.raises(UnknownSchema, match="was not asked"):
        known.writer(104_999)
    # there is no room left: only what is likely to be a new schema is asked for
    newer = remote.put(1_002, registry.raw("click"))
    remote.asked.clear()
    await learn(source, {*range(200_000, 200_100), newer})
    assert known.writer(newer) == registry.raw("click")
    assert len(remote.asked) == 8
    now += 2.0
    remote.asked.clear()
    await learn(source, range(300_000, 300_100))
    assert len(remote.asked) == 8 + 16, "and 8 a second more"
    now += 60.0
    late = remote.put(104_999, registry.raw("conversion"))
    await learn(source, [late])
    assert known.writer(late) == registry.raw("conversion"), "it is asked for once there is room"


def test_over_tls_with_an_own_authority_and_a_token_that_is_renewed(
    remote: RegistryServer, authority: Authority, tmp_path: Path
) -> None:
    remote.secure(authority.issue("registry"))
    first, second = (remote.register(name, registry.raw(name)) for name in ("send", "open"))
    file = tmp_path / "token"
    file.write_text("one\n")
    remote.bearer = "one"
    source = registry_of(
        settings(
            remote.url,
            schema_registry_ca_file=str(authority.certificate),
            schema_registry_token_file=str(file),
        )
    )
    assert source is not None
    assert source.writer(first) == registry.raw("send")
    file.write_text("two\n")
    remote.bearer = "two"
    assert source.writer(second) == registry.raw("open")
    other = registry_of(settings(remote.url, schema_registry_token_file=str(file)))
    assert other is not None
    with pytest.raises(RegistryUnreachable, match="certificate verify failed"):
        other.writer(first)
    with pytest.raises(UsageError, match="schema_registry_ca_file"):
        registry_of(settings(remote.url, schema_registry_ca_file="/none"))


def test_protobuf_is_refused_as_such_and_asked_for_once(remote: RegistryServer) -> None:
    schema_id = remote.put(70, 'syntax = "proto3"; message Send {}', schemaType="PROTOBUF")
    source = HttpSource(remote.url, misses=1)
    value = b"\0" + schema_id.to_bytes(4, "big") + b"\0\x0a\x01e"
    for _ in range(3):
        taken = ingest([batch([Produced(value)] * 30)], 0, 1, INPUTS, source=source)
        assert {(one.code, one.detail) for one in taken.rejects} == {("protobuf", "70")}
        assert len(taken.rejects) == 30
    assert remote.asked == ["GET /schemas/ids/70"]
    # it is no guess: other ids may still be asked for
    assert source.writer(remote.put(71, registry.raw("open"))) == registry.raw("open")
    with pytest.raises(Undecodable, match="protobuf: 70"):
        decode(value, "user", source)


def test_a_record_in_the_framing_of_json_schema_is_json(remote: RegistryServer) -> None:
    schema_id = remote.put(80, '{"type": "object"}', schemaType="JSON")
    source = HttpSource(remote.url)
    head = b"\0" + schema_id.to_bytes(4, "big")
    good = head + json.dumps(SEND).encode()
    values = [good, head + b"[]", head + b"\xff", good, head]
    taken = ingest([batch([Produced(one) for one in values])], 0, 1, INPUTS, source=source)
    assert taken.events == 2
    assert [(one.offset, one.code) for one in taken.rejects] == [
        (1, "bad_json"),
        (2, "bad_json"),
        (4, "bad_json"),
    ]
    assert remote.asked == ["GET /schemas/ids/80"]
    other = remote.put(81, "x", schemaType="OTHER")
    with pytest.raises(Undecodable, match="unknown_schema"):
        decode(b"\0" + other.to_bytes(4, "big"), "send", source)

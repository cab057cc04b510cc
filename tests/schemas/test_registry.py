import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fastavro
import polars as pl
import pytest

from schemas import registry
from schemas.codec import Undecodable, decode, encode
from schemas.registry import UnknownSchema
from schemas.remote_registry import HttpSource, RegistryUnreachable, source_for

IDS = {
    "send": 1,
    "open": 2,
    "click": 3,
    "variant": 4,
    "conversion": 5,
    "signal": 6,
    "user": 7,
    "definition": 8,
    "command": 9,
    "result": 10,
    "expired": 11,
    "restored": 12,
    "expiring_soon": 13,
    "state": 14,
    "audit": 15,
    "report": 16,
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


ANSWERS: dict[str, tuple[int, object]] = {
    "/schemas/ids/7001": (200, {"schema": json.dumps(registry.raw("send"))}),
    "/schemas/ids/7002": (200, {"schema": "message X {}", "schemaType": "PROTOBUF"}),
    "/schemas/ids/7003": (500, {"error_code": 50001}),
    "/schemas/ids/7004": (200, {"hello": "world"}),
    "/schemas/ids/7005": (200, {"schema": '"string"'}),
    "/schemas/ids/7006": (200, {"schema": '{"type": "record"}', "references": [{"name": "x"}]}),
}


class Registry(ThreadingHTTPServer):
    """A schema registry with the answers above, that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, answer = ANSWERS.get(self.path, (404, {"error_code": 40403}))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output free of access lines."""


@pytest.fixture
def remote() -> Iterator[Registry]:
    with Registry() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def test_a_remote_schema_is_asked_for_once(remote: Registry) -> None:
    source = HttpSource(remote.url + "/")
    assert source.writer(7001) == registry.raw("send")
    assert source.writer(7001) is source.writer(7001)
    assert remote.asked == ["/schemas/ids/7001"]


def test_the_codec_reads_with_the_ids_of_a_registry(remote: Registry) -> None:
    source = HttpSource(remote.url)
    data = encode("send", {"id": "e", "user_id": "u", "time": 5})
    renumbered = data[:1] + (7001).to_bytes(4, "big") + data[5:]
    for _ in range(2):
        assert decode(renumbered, "send", source) == decode(data, "send")
    with pytest.raises(Undecodable) as caught:
        decode(data, "send", source)
    assert (caught.value.code, caught.value.detail) == ("unknown_schema", "1")
    assert len(remote.asked) == 2


@pytest.mark.parametrize("schema_id", [7002, 7005, 7006, 9999])
def test_what_is_no_avro_record_is_unknown(remote: Registry, schema_id: int) -> None:
    with pytest.raises(UnknownSchema) as caught:
        HttpSource(remote.url).writer(schema_id)
    assert caught.value.schema == schema_id


def test_an_unknown_id_is_asked_for_again_only_after_a_while(remote: Registry) -> None:
    now = 0.0
    source = HttpSource(remote.url, forget_after=60, monotonic=lambda: now)
    for moment in (0.0, 59.0, 61.0):
        now = moment
        with pytest.raises(UnknownSchema):
            source.writer(9999)
    assert len(remote.asked) == 2


@pytest.mark.parametrize("schema_id", [7003, 7004])
def test_a_broken_registry_is_not_an_unknown_schema(remote: Registry, schema_id: int) -> None:
    with pytest.raises(RegistryUnreachable, match="schema_registry_url"):
        HttpSource(remote.url).writer(schema_id)


def test_an_absent_registry_is_recoverable(remote: Registry) -> None:
    url = remote.url
    remote.server_close()
    with pytest.raises(RegistryUnreachable):
        HttpSource(url, timeout=5).writer(7001)


def test_without_a_url_the_files_are_the_source() -> None:
    assert source_for("") is registry.FILES
    assert isinstance(source_for("http://127.0.0.1:1"), HttpSource)

"""Schemas of a registry over HTTP: asked for once, and never taken for what they are not."""

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from schemas import registry
from schemas.codec import Undecodable, decode, encode
from schemas.ingest import ingest
from schemas.registry import UnknownSchema
from streams.remote_registry import HttpSource, RegistryUnreachable, source_for
from tests.schemas.record_batches import INPUTS, NOW, Produced, batch

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


def test_all_shards_of_a_worker_share_what_they_have_learnt() -> None:
    assert source_for("http://127.0.0.1:1") is source_for("http://127.0.0.1:1")


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


def test_events_with_the_ids_of_a_registry_are_taken_in(remote: Registry) -> None:
    event = {"id": "e", "user_id": "u", "time": NOW, "campaign_id": "c"}
    data = encode("send", event)
    found = batch([Produced(data[:1] + (7001).to_bytes(4, "big") + data[5:])])
    taken = ingest([found], 0, 1, INPUTS, source=source_for(remote.url))
    assert taken.interactions["source"].to_list() == ["campaign:c"]
    assert [reject.code for reject in ingest([found], 0, 1, INPUTS).rejects] == ["unknown_schema"]

"""The reader of a schema registry's answers, as bytes on its connection, and of their schemas."""

import atexit
import json
import socket
import threading
from contextlib import suppress
from functools import cache

from hypothesis import strategies as st

from schemas.errors import Fatal
from schemas.records import codec, foreign, registry
from schemas.records.registry import UnknownSchema
from schemas.records.undecodable import Undecodable
from streams.kafka.bounded_http import Caller
from streams.kafka.registry_subjects import SchemaSubjects
from streams.kafka.remote_registry import HttpSource, RegistryUnreachable
from tests.rigs.hostile.fuzz.damage import broken_json, damaged
from tests.rigs.hostile.fuzz.kafka_bytes import GOOD
from tests.rigs.hostile.fuzz.target import Target

__all__ = ["TARGETS"]

_SCHEMA = registry.raw("send")
_REFERRED = {
    "type": "record",
    "name": "Send",
    "namespace": "n",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "user_id", "type": "string"},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "campaign_id", "type": ["null", "string"], "default": None},
        {
            "name": "more",
            "type": {
                "type": "array",
                "items": {"type": "map", "values": {"type": "fixed", "name": "F", "size": 4}},
            },
        },
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
    ],
}
_ENCODED = [codec.encode("send", one)[5:] for one in GOOD["send"]]


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


_BODIES = [json.dumps({"schema": json.dumps(one)}).encode() for one in (_SCHEMA, _REFERRED)]
_ANSWERS = [
    *map(_answer, _BODIES),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODIES[0]), _BODIES[0]),
    b"HTTP/1.1 301 Moved\r\nLocation: http://evil.example/\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
]


class _Server:
    """Answers each connection with the bytes at hand."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        atexit.register(self._socket.close)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError):
                    connection.recv(65_536)
                    connection.sendall(self.answer)


@cache
def _server() -> _Server:
    return _Server()


def _take_answer(answer: bytes) -> None:
    """A schema, none, or that the registry does not answer; with a schema, records are read."""
    server = _server()
    server.answer = answer
    source = HttpSource(f"http://127.0.0.1:{server.port}", timeout=2.0)
    with suppress(UnknownSchema, RegistryUnreachable):
        source.writer(7)
    _decode(source)


def _decode(source: HttpSource) -> None:
    for body in _ENCODED:
        with suppress(Undecodable, RegistryUnreachable):
            codec.decode(b"\0" + (7).to_bytes(4, "big") + body, "send", source)


class _One:
    """One schema under every id."""

    def __init__(self, schema: dict[str, object]) -> None:
        self._schema = schema

    def writer(self, schema_id: int) -> dict[str, object]:
        """The schema."""
        return self._schema


def _take_schema(made: tuple[bytes, bytes]) -> None:
    """A schema that is not refused reads any bytes at a bounded cost."""
    text, body = made
    try:
        schema = foreign.parsed(text.decode(errors="replace"))
        schema = foreign.inlined(schema, dict(foreign.names(schema)))
        foreign.check(schema)
    except foreign.BadSchema:
        return
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return
    with suppress(Undecodable):
        codec.decode(b"\0" + (7).to_bytes(4, "big") + body, "send", _One(schema))


def _take_subjects(answer: bytes) -> None:
    """What became of our schemas, or that the registry does not answer, or refuses."""
    server = _server()
    server.answer = answer
    subjects = SchemaSubjects(Caller(f"http://127.0.0.1:{server.port}", deadline_s=2.0))
    with suppress(RegistryUnreachable, Fatal):
        subjects.register({"s": "send"}, level="FULL")
    source = HttpSource(f"http://127.0.0.1:{server.port}", timeout=2.0)
    with suppress(RegistryUnreachable):
        source.latest("s")


_SUBJECTS = [
    _answer(json.dumps(one).encode())
    for one in (
        {"id": 3, "version": 1, "schema": json.dumps(_REFERRED), "compatibilityLevel": "FULL"},
        {"is_compatible": False, "messages": ["a"], "schema": "{}", "version": 2},
        {"message": "no"},
    )
] + _ANSWERS

TARGETS = {
    "registry-subjects": Target(damaged(_SUBJECTS), _take_subjects),
    "registry-answers": Target(damaged(_ANSWERS), _take_answer),
    "registry-schemas": Target(
        st.tuples(broken_json([_SCHEMA, _REFERRED]), damaged(_ENCODED)), _take_schema
    ),
}

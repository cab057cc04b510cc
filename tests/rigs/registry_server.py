"""A schema registry over real HTTP, with the documented interface of Confluent's: the calls that
emberline uses, and the ways in which a registry can fail.

It is part of this project; no Confluent code runs in these tests.
"""

import base64
import contextlib
import io
import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import fastavro

from schemas.records.compatibility import problems
from streams.devbroker.certificates import Certificate

MEDIA = "application/vnd.schemaregistry.v1+json"


class RegistryServer(ThreadingHTTPServer):
    """Subjects with versions, ids from 1, references, Basic authentication.

    `raw` answers a path with (status, body), `headers` with those besides; `drips` sends a byte
    of every answer now and then, until the server is closed.
    """

    daemon_threads = True

    def __init__(self, user: str = "", password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.login = f"{user}:{password}" if user else ""
        self.bearer = ""
        self.scheme = "http"
        self.asked: list[str] = []
        self.schemas: dict[int, dict[str, Any]] = {}
        #: The compatibility of a subject; "" is for all others.
        self.config: dict[str, str] = {"": "BACKWARD"}
        self.read_only = False
        self.subjects: dict[str, list[int]] = {}
        self.raw: dict[str, tuple[int, bytes]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.drips = False
        self.down = False
        self.closing = Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def secure(self, certificate: Certificate) -> None:
        """Speak TLS from the next connection on."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.chain, certificate.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def register(self, subject: str, schema: Any, references: Any = (), kind: str = "AVRO") -> int:
        """The id of a schema, the same for the same schema. A text is of a schema that is none of
        Avro."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        entry: dict[str, Any] = {"schema": text}
        if kind != "AVRO":
            entry["schemaType"] = kind
        if references:
            entry["references"] = list(references)
        found = next((i for i, known in self.schemas.items() if known == entry), None)
        schema_id = len(self.schemas) + 1 if found is None else found
        self.schemas[schema_id] = entry
        versions = self.subjects.setdefault(subject, [])
        if schema_id not in versions:
            versions.append(schema_id)
        return schema_id

    def put(self, schema_id: int, schema: Any, **more: Any) -> int:
        """A schema under an id of the test's choice; text stays as it is."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.schemas[schema_id] = {"schema": text, **more}
        return schema_id

    def answer(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        """(status, body)."""
        if path in self.raw:
            return self.raw[path]
        parts = path.partition("?")[0].strip("/").split("/")
        found = self._settings(method, parts, body) or self._found(method, parts, body)
        if isinstance(found, tuple):
            return found[0], json.dumps({"error_code": found[0], "message": found[1]}).encode()
        if found is None:
            return 404, json.dumps({"error_code": 40403, "message": "not found"}).encode()
        return 200, json.dumps(found).encode()

    def _settings(
        self, method: str, parts: list[str], body: Any
    ) -> dict[str, Any] | tuple[int, str] | None:
        """Answers about compatibility."""
        if parts[0] == "config":
            subject = parts[1] if len(parts) > 1 else ""
            if method == "PUT":
                if self.read_only:
                    return 422, "Subject is in read-only mode"
                self.config[subject] = body["compatibility"]
                return {"compatibility": body["compatibility"]}
            if subject not in self.config:
                return 404, f"Subject '{subject}' does not have subject-level compatibility"
            return {"compatibilityLevel": self.config[subject]}
        if parts[0] == "compatibility":
            why = self._conflict(parts[2], json.loads(body["schema"]))
            return {"is_compatible": not why, "messages": why}
        return None

    def _conflict(self, subject: str, schema: Any) -> list[str]:
        """Why a schema may not be the next of a subject: by Avro's rules, both ways."""
        versions = self.subjects.get(subject, [])
        if not versions or self.config.get(subject, self.config[""]) == "NONE":
            return []
        return problems(json.loads(self.schemas[versions[-1]]["schema"]), schema)

    def _found(
        self, method: str, parts: list[str], body: Any
    ) -> dict[str, Any] | tuple[int, str] | None:
        if parts[:2] == ["schemas", "ids"]:
            return self.schemas.get(int(parts[2]))
        if parts[0] != "subjects":
            return None
        versions = self.subjects.get(parts[1], [])
        if method == "POST" and len(parts) == 2:
            for version, schema_id in enumerate(versions, 1):
                if _same(self.schemas[schema_id], body):
                    return {"subject": parts[1], "id": schema_id, "version": version}
            return None
        if method == "POST":
            if self.read_only:
                return 422, "Subject is in read-only mode"
            if why := self._conflict(parts[1], json.loads(body["schema"])):
                return 409, f"Schema being registered is incompatible: {why[0]}"
            return {"id": self.register(parts[1], json.loads(body["schema"]))}
        if parts[3] == "latest":
            parts[3] = str(len(versions))
        if not 0 < int(parts[3]) <= len(versions):
            return None
        schema_id = versions[int(parts[3]) - 1]
        number = int(parts[3])
        return {"subject": parts[1], "id": schema_id, "version": number, **self.schemas[schema_id]}


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def do_GET(self) -> None:
        self._reply(None)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _reply(self, body: Any) -> None:
        server = self.server
        server.asked.append(f"{self.command} {self.path}")
        login = f"Basic {base64.b64encode(server.login.encode()).decode()}"
        login = f"Bearer {server.bearer}" if server.bearer else login
        if server.down:
            status, content = 503, b"{}"
        elif (server.login or server.bearer) and self.headers.get("Authorization") != login:
            status, content = 401, json.dumps({"message": "Unauthorized"}).encode()
        else:
            status, content = server.answer(self.command, self.path, body)
        if server.drips:
            with contextlib.suppress(OSError):
                while not server.closing.wait(0.05):
                    self.wfile.write(b"H")
                    self.wfile.flush()
            return
        self.send_response(status)
        for name, value in {"Content-Type": MEDIA, **server.headers.get(self.path, {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the test's output free of access lines."""


@contextlib.contextmanager
def serving(user: str = "", password: str = "") -> Iterator[RegistryServer]:
    """A registry that answers until the block ends."""
    with RegistryServer(user, password) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join(5)


def _same(held: dict[str, Any], given: dict[str, Any]) -> bool:
    return "schemaType" not in held and json.loads(held["schema"]) == json.loads(given["schema"])


def written(schema: Any, schema_id: int, record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()

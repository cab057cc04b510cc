"""A token server: client credentials of OAuth 2, over HTTP."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

__all__ = ["SECRET", "TokenServer", "serving"]

SECRET = "client/secret+"


class TokenServer(ThreadingHTTPServer):
    """Gives what `make` makes to the client `emberline` with SECRET; `asked` counts it."""

    daemon_threads = True

    def __init__(self, make: Callable[[], str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.make = make
        self.asked = 0
        self.scopes: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/token"


class _Handler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        # both halves are quoted as in a form, RFC 6749
        login = base64.b64encode(b"emberline:client%2Fsecret%2B").decode()
        if self.headers["Authorization"] != f"Basic {login}":
            return self._answer(401, {"error": "invalid_client"})
        if form["grant_type"] != ["client_credentials"]:
            return self._answer(400, {"error": "unsupported_grant_type"})
        self.server.asked += 1
        self.server.scopes += form.get("scope", [])
        return self._answer(200, {"access_token": self.server.make(), "expires_in": 3600})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(make: Callable[[], str]) -> Iterator[TokenServer]:
    server = TokenServer(make)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

"""One bounded HTTP call to a schema registry: total time, size, credentials, no redirects.

Blocking: for threads. Proxies of the environment are not used.
"""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

__all__ = ["CallFailed", "Caller", "RegistryAnswer"]

ANSWER_BYTES = 2_000_000
"""A longer answer is given up: a schema has at most schemas.records.foreign.CHARACTERS."""
_MEDIA = "application/vnd.schemaregistry.v1+json"


class CallFailed(Exception):
    """No answer: its text says why, without any secret."""


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """A status other than a redirect, and the whole body."""

    status: int
    body: bytes


class Caller:
    """Calls one registry. `deadline_s` bounds everything from connecting to the last byte.

    User and password in the URL count where `user` is empty; `url` shows none.
    """

    def __init__(
        self, url: str, *, user: str = "", password: str = "", deadline_s: float = 10.0
    ) -> None:
        parts = urlsplit(url)
        self._parts = parts
        self._deadline_s = deadline_s
        if not user and parts.username is not None:
            user, password = unquote(parts.username), unquote(parts.password or "")
        self._headers = {"Accept": _MEDIA, "Host": _host(parts)}
        if user:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self.url = f"{parts.scheme}://{_host(parts)}{parts.path}".rstrip("/")

    def get(self, *path: str) -> RegistryAnswer:
        """GET. Raises CallFailed."""
        return self._call("GET", path, None)

    def post(self, body: bytes, *path: str) -> RegistryAnswer:
        """POST of JSON. Raises CallFailed."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: tuple[str, ...], body: bytes | None) -> RegistryAnswer:
        target = "/".join((self._parts.path.rstrip("/"), *(quote(part, safe="") for part in path)))
        headers = {**self._headers, "Connection": "close"}
        if body is not None:
            headers |= {"Content-Type": _MEDIA, "Content-Length": str(len(body))}
        until = time.monotonic() + self._deadline_s
        cut = threading.Event()
        try:
            connection = self._connect(until)
            with connection:
                # a server that sends a byte now and then would outlast any limit on one read
                hold = connection.dup()
                timer = threading.Timer(max(0.0, until - time.monotonic()), _cut, (hold, cut))
                timer.daemon = True
                timer.start()
                try:
                    secured = self._secured(connection)
                    with secured:
                        return self._exchange(secured, method, target, headers, body)
                finally:
                    timer.cancel()
                    hold.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            if cut.is_set() or isinstance(error, TimeoutError):
                raise CallFailed(f"no whole answer within {self._deadline_s:g} s") from None
            raise CallFailed(str(error) or type(error).__name__) from error

    def _connect(self, until: float) -> socket.socket:
        port = self._parts.port or (443 if self._parts.scheme == "https" else 80)
        left = max(0.1, until - time.monotonic())
        return socket.create_connection((self._parts.hostname or "", port), timeout=left)

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._parts.scheme != "https":
            return connection
        context = ssl.create_default_context()
        return context.wrap_socket(connection, server_hostname=self._parts.hostname)

    def _exchange(
        self,
        connection: socket.socket,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | None,
    ) -> RegistryAnswer:
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode("latin-1") + (body or b""))
        answer = http.client.HTTPResponse(connection, method=method)
        try:
            answer.begin()
            if 300 <= answer.status < 400:
                raise CallFailed(f"status {answer.status}: redirects are not followed")
            content = answer.read(ANSWER_BYTES + 1)
            if len(content) > ANSWER_BYTES:
                raise CallFailed(f"an answer of more than {ANSWER_BYTES} bytes")
            if answer.length:
                raise CallFailed("the answer is incomplete")
            return RegistryAnswer(answer.status, content)
        finally:
            answer.close()


def _cut(connection: socket.socket, cut: threading.Event) -> None:
    cut.set()
    with contextlib.suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)


def _host(parts: SplitResult) -> str:
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    return name if parts.port is None else f"{name}:{parts.port}"

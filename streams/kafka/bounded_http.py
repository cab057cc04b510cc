"""One bounded HTTP call, to a schema registry or a token server: total time, size, credentials, no
redirects.

Blocking: for threads. Proxies of the environment are not used.
"""

import base64
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from streams.tls import ClientTls, TlsFiles

__all__ = ["REGISTRY", "TLS_DEFAULT", "CallFailed", "Caller", "HttpAnswer", "Media", "basic"]

ANSWER_BYTES = 2_000_000
"""A longer answer is given up: a schema has at most schemas.records.foreign.CHARACTERS."""


@dataclass(frozen=True, slots=True)
class Media:
    """The types of what is asked for, and of what is sent."""

    accepted: str
    sent: str


REGISTRY = Media(*["application/vnd.schemaregistry.v1+json"] * 2)
TLS_DEFAULT = ClientTls(TlsFiles())
"""The system's authorities."""


class CallFailed(Exception):
    """No answer: its text says why, without any secret."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A status other than a redirect, and the whole body."""

    status: int
    body: bytes


class Caller:
    """Calls one server. `deadline_s` bounds everything from connecting to the last byte.

    `authorization` returns the header of that name for the next call, or nothing (`basic` makes
    one); then user and password in the URL count. `url` shows none. `tls` is for https.
    """

    def __init__(
        self,
        url: str,
        *,
        authorization: Callable[[], str] = lambda: "",
        tls: ClientTls = TLS_DEFAULT,
        media: Media = REGISTRY,
        deadline_s: float = 10.0,
    ) -> None:
        parts = urlsplit(url)
        self._parts = parts
        self._deadline_s = deadline_s
        self._authorization = authorization
        self._tls = tls
        self._media = media
        self.url = f"{parts.scheme}://{_host(parts)}{parts.path}".rstrip("/")

    def get(self, *path: str) -> HttpAnswer:
        """GET. Raises CallFailed."""
        return self._call("GET", path, None)

    def post(self, body: bytes, *path: str) -> HttpAnswer:
        """POST. Raises CallFailed."""
        return self._call("POST", path, body)

    def call(self, method: str, body: bytes | None, *path: str, query: str = "") -> HttpAnswer:
        """Any method, with a query as it stands in the address. Raises CallFailed."""
        return self._call(method, path, body, query)

    def _call(
        self, method: str, path: tuple[str, ...], body: bytes | None, query: str = ""
    ) -> HttpAnswer:
        target = "/".join((self._parts.path.rstrip("/"), *(quote(part, safe="") for part in path)))
        target += f"?{query}" if query else ""
        headers = {
            "Accept": self._media.accepted,
            "Host": _host(self._parts),
            "Connection": "close",
        }
        if authorization := self._authorization() or _of_url(self._parts):
            headers["Authorization"] = authorization
        if body is not None:
            headers |= {"Content-Type": self._media.sent, "Content-Length": str(len(body))}
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
        context = self._tls.context()
        return context.wrap_socket(connection, server_hostname=self._parts.hostname)

    def _exchange(
        self,
        connection: socket.socket,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | None,
    ) -> HttpAnswer:
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
            return HttpAnswer(answer.status, content)
        finally:
            answer.close()


def basic(user: str, password: str) -> str:
    """The header of HTTP Basic."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _of_url(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    return basic(unquote(parts.username), unquote(parts.password or ""))


def _cut(connection: socket.socket, cut: threading.Event) -> None:
    cut.set()
    with contextlib.suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)


def _host(parts: SplitResult) -> str:
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    return name if parts.port is None else f"{name}:{parts.port}"

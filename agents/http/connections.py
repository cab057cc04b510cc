"""Limits connections: how many, for each address, and how long without a request.

Every connection takes a file descriptor, and the worker needs descriptors for the broker and its
stores. So connections are counted, in total and by address. At the limit, the connection that has
been without a request for longest is closed. Connections whose request is being answered stay open;
if there are no others, the new connection is closed.
"""

import asyncio
import logging
import os
import resource
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from agents.http.handshake import Handshake
from agents.http.problems import Problem
from agents.http.tls import why
from streams.period import seconds
from streams.settings import Settings

__all__ = ["SERVER", "ConnectionLimits", "Runner", "listen", "raise_descriptors"]

log = logging.getLogger(__name__)

SERVER = "emberline"
"""The header `Server` of every answer: aiohttp's own has versions."""
LINGER_S = 2.0
"""So long a body that nobody wants is read, so that the client reads the answer."""
MOST_DESCRIPTORS = 65_536
ACCEPTED = 8
BACKLOG = 128
_SHARE = 2
_LEAST = 8
_CONTINUE = "100-continue"
_SAY_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The largest number of connections, in total and of one address, and the seconds without a
    whole request.
    """

    total: int
    by_address: int
    idle_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits of the settings, and at most half of the file descriptors of the process; no
        address can have all.
        """
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(_LEAST, descriptors // _SHARE)
        total = min(settings.http_connections, most)
        if total < settings.http_connections:
            log.warning(
                "at most %d connections are served at once, not %d (http_connections): the "
                "process may open %d files; raise that with `ulimit -n`",
                total,
                settings.http_connections,
                descriptors,
            )
        by_address = min(settings.http_connections_by_address, max(_LEAST, total * 3 // 4))
        return cls(total, by_address, seconds(settings.http_idle))


def raise_descriptors() -> None:
    """Raise the limit of file descriptors to the allowed maximum: the default of many shells is
    low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Runner(web.AppRunner):
    """Runs an application within limits; if a client leaves, its handler is cancelled."""

    __slots__ = ("_context", "_limits")

    def __init__(
        self,
        app: web.Application,
        limits: ConnectionLimits,
        *,
        shutdown_s: float,
        context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """`context` is called for each connection; without it there is no TLS."""
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_s,
            handler_cancellation=True,
            keepalive_timeout=limits.idle_s,
            lingering_time=LINGER_S,
            # a body that unpacks itself may be a thousand times what was sent
            auto_decompress=False,
        )
        self._limits = limits
        self._context = context

    async def _make_server(self) -> "Server":
        return Server(await super()._make_server(), self._limits, self._context)


async def listen(runner: web.AppRunner, host: str, port: int) -> None:
    """Serve at an address. Raises OSError.

    asyncio accepts as many connections at once as its backlog says, before any of them can be
    counted or closed. So asyncio gets a small backlog, and the system, which keeps the others
    waiting, a large one.
    """
    site = web.TCPSite(runner, host, port, backlog=ACCEPTED)
    await site.start()
    server = site._server
    if isinstance(server, asyncio.Server):
        for each in server.sockets:
            with socket.socket(fileno=os.dup(each.fileno())) as same:
                same.listen(BACKLOG)


class Handler(RequestHandler):
    """aiohttp's handler without its error page for invalid HTTP: that page and the log quote the
    bytes, and a key may be among them.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to invalid HTTP, or to a request that no handler has answered."""
        if isinstance(exc, ConnectionError) and (
            request.transport is None or request.transport.is_closing()
        ):
            # the client has left: no answer is possible, and no retry
            response = web.Response(status=status)
            response.force_close()
            return response
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        if isinstance(self._manager, Server):
            self._manager.not_http(request.remote, type(exc).__name__)
        response = Problem(
            "bad_request",
            f"The request is no HTTP/1.1, or a part is too long ({type(exc).__name__})",
        ).response()
        response.headers[hdrs.SERVER] = SERVER
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's server, with counted connections."""

    def __init__(
        self,
        made: web.Server,
        limits: ConnectionLimits,
        context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """`made` is the server that the application has created: do not use it besides this one.
        `context` is called for each connection; without it there is no TLS.
        """
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )
        self._limits = limits
        self._handle = made.request_handler
        self.request_handler = self._counted
        self._context = context
        self._transports: dict[asyncio.Protocol, asyncio.Transport] = {}
        self._address: dict[asyncio.Protocol, str] = {}
        self._held: Counter[str] = Counter()
        #: Without a request, the one that has been so for longest first: in all, by address.
        self._idle: dict[asyncio.Protocol, None] = {}
        self._idle_of: dict[str, dict[asyncio.Protocol, None]] = {}
        self._shaking: set[Handshake] = set()
        self._dropped = 0
        self._options = made._kwargs
        self._said = float("-inf")
        self._not_http = 0
        self._not_http_said = float("-inf")
        self._no_tls = 0
        self._no_tls_said = float("-inf")

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override]  # aiohttp has its handler
        """The first protocol of one connection."""
        return self.enter() if self._context is None else Handshake(self, self._loop)

    def enter(self) -> RequestHandler:
        """The protocol of a connection that may send requests."""
        return Handler(self, loop=self._loop, **self._options)

    def context(self) -> ssl.SSLContext:
        """See HandshakeHost, also for the next three."""
        assert self._context is not None
        return self._context()

    def begun(self, handshake: Handshake, transport: asyncio.Transport) -> None:
        """Count a connection before its handshake, and close another if there are too many."""
        self._shaking.add(handshake)
        self._count(handshake, transport)

    def over(self, handshake: Handshake) -> None:
        """Stop counting it."""
        self._shaking.discard(handshake)
        self._forget(handshake)

    def failed(self, handshake: Handshake, error: BaseException) -> None:
        """Count failed handshakes, and log one line from time to time."""
        self._no_tls += 1
        now = time.monotonic()
        if now >= self._no_tls_said + _SAY_EVERY_S:
            log.info(
                "%d TLS handshakes have failed, the last of %s: %s",
                self._no_tls,
                self._address.get(handshake, "a client"),
                why(error),
            )
            self._no_tls_said, self._no_tls = now, 0

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # aiohttp's
        """End handshakes at once, and connections as aiohttp does."""
        for handshake in list(self._shaking):
            if handshake.transport is not None:
                handshake.transport.abort()
        await super().shutdown(timeout)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count the connection, and close another if there are too many."""
        super().connection_made(handler, transport)
        self._count(handler, transport)

    def _count(self, handler: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self._transports[handler] = transport
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._address[handler] = address
        self._held[address] += 1
        self._rest(handler)
        if self._held[address] > self._limits.by_address:
            self._drop(next(iter(self._idle_of[address])))
        elif len(self._address) > self._limits.total:
            self._drop(next(iter(self._idle)))

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Stop counting the connection."""
        self._forget(handler)
        super().connection_lost(handler, exc)

    async def _counted(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = request.protocol
        self._busy(handler)
        try:
            expect = request.headers.get("Expect", _CONTINUE)
            if expect.lower() != _CONTINUE:
                # the library would repeat it in its answer, and fail if it is no text
                return web.Response(status=417, text=f"Expect can only be {_CONTINUE}")
            return await self._handle(request)
        finally:
            if handler in self._address:
                self._rest(handler)

    def not_http(self, address: str | None, why: str) -> None:
        """Count bytes that are no request, and log one line from time to time, so that they do not
        fill the log.
        """
        self._not_http += 1
        now = time.monotonic()
        if now >= self._not_http_said + _SAY_EVERY_S:
            log.info("%d requests were invalid, the last of %s: %s", self._not_http, address, why)
            self._not_http_said, self._not_http = now, 0

    def _drop(self, handler: asyncio.Protocol) -> None:
        transport = self._transports.get(handler)
        address = self._address[handler]
        self._forget(handler)
        if transport is not None:
            transport.abort()
        self._dropped += 1
        now = time.monotonic()
        if now >= self._said + _SAY_EVERY_S:
            log.warning(
                "%d connections without a request were closed, the last of %s: at most "
                "%d are held, %d of one address",
                self._dropped,
                address,
                self._limits.total,
                self._limits.by_address,
            )
            self._said, self._dropped = now, 0

    def _rest(self, handler: asyncio.Protocol) -> None:
        self._idle[handler] = None
        self._idle_of.setdefault(self._address[handler], {})[handler] = None

    def _busy(self, handler: asyncio.Protocol) -> None:
        self._idle.pop(handler, None)
        address = self._address.get(handler)
        of_address = self._idle_of.get(address, {}) if address is not None else {}
        of_address.pop(handler, None)
        if address is not None and not of_address:
            self._idle_of.pop(address, None)

    def _forget(self, handler: asyncio.Protocol) -> None:
        self._busy(handler)
        self._transports.pop(handler, None)
        address = self._address.pop(handler, None)
        if address is not None:
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]

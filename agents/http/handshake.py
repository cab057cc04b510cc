"""The TLS handshake of a connection: counted and limited in time like every other connection.

asyncio's own server with TLS shows a connection only after its handshake, for which it gives a
minute. A client could hold as many connections as it likes that way.
"""

import asyncio
import ssl
from typing import Protocol

__all__ = ["HANDSHAKE_S", "Handshake", "HandshakeHost"]

HANDSHAKE_S = 5.0
SHUTDOWN_S = 2.0


class HandshakeHost(Protocol):
    """The server, as a handshake uses it."""

    def context(self) -> ssl.SSLContext:
        """For one connection."""
        ...

    def begun(self, handshake: "Handshake", transport: asyncio.Transport) -> None:
        """Count the connection, without a request."""
        ...

    def over(self, handshake: "Handshake") -> None:
        """Stop counting it: it is lost, or `enter` follows."""
        ...

    def failed(self, handshake: "Handshake", error: BaseException) -> None:
        """The handshake has failed."""
        ...

    def enter(self) -> asyncio.Protocol:
        """The protocol of the connection from now on."""
        ...


class Handshake(asyncio.Protocol):
    """The first protocol of a connection; hands on what arrives directly after the handshake."""

    def __init__(self, host: HandshakeHost, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._received: list[bytes] = []
        self._lost = False
        self._next: asyncio.Protocol | None = None
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.task = self._loop.create_task(self._shake(transport))
        self._host.begun(self, transport)

    def data_received(self, data: bytes) -> None:
        """Keep what comes before the next protocol is there."""
        self._received.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection was lost as the handshake ended."""
        self._lost = True
        if self._next is not None:
            self._next.connection_lost(exc)

    async def _shake(self, transport: asyncio.Transport) -> None:
        try:
            secured = await self._loop.start_tls(
                transport,
                self,
                self._host.context(),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError as error:
            transport.abort()
            self._host.failed(self, error)
            return
        finally:
            self._host.over(self)
        if secured is None or secured.is_closing() or self._lost:
            return
        entered = self._next = self._host.enter()
        secured.set_protocol(entered)
        entered.connection_made(secured)
        for data in self._received:
            entered.data_received(data)

"""Signed requests to other workers of the group."""

import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from agents.http.keyring import KeyRing
from agents.http.reloaded import Reloaded
from agents.http.signature import HEADER, sign
from agents.http.tls import client_context
from schemas.errors import Fatal, Recoverable
from streams.clock import Clock
from streams.period import seconds
from streams.settings import Settings

__all__ = ["Peers"]

MOST_CONNECTIONS = 100
"""To all other workers together."""
IDLE_S = 5.0
"""So long a connection to another worker is kept for the next question: less than it keeps it."""


class Peers:
    """The connections of one worker to all others. Use it in one event loop, and close it.

    A worker that serves https asks others over https only: an answer in the clear could come from
    anybody.
    """

    def __init__(self, settings: Settings, keyring: KeyRing, clock: Clock) -> None:
        self._settings = settings
        self._keyring = keyring
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._tls: Reloaded[ssl.SSLContext] | None = None

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a signed request to another worker; redirects are not followed.

        Raises aiohttp.ClientError, TimeoutError, OSError; Recoverable if there is no secret to sign
        with, or no TLS where this worker has it.
        """
        asked = URL(url).update_query(params or {})
        if asked.scheme != "https" and self._settings.http_certificate_file:
            raise Recoverable(
                f"The worker at {asked.origin()} does not serve https, and this one does",
                remedy="Give every worker a certificate (http_certificate_file)",
            )
        headers = {}
        keys = self._keyring.keys
        if keys is not None:
            if not keys.signing_key:
                raise Recoverable(f"The keys file {self._settings.keys_file} has no secret")
            signature = sign(keys.signing_key, method, asked, body, self._clock.now_ms())
            headers[HEADER] = signature
        # aiohttp sends bytes in one go, however many
        sent = io.BytesIO(body) if body else None
        async with self._client().request(
            method,
            asked,
            data=sent,
            headers=headers,
            allow_redirects=False,
            # another context is another connection: after a change the former ones are not used
            ssl=self._context() if asked.scheme == "https" else True,
        ) as answer:
            yield answer

    @property
    def trouble(self) -> str:
        """Why the former certificates are still used for asking; empty if the present ones are."""
        return "" if self._tls is None else self._tls.trouble

    def _context(self) -> ssl.SSLContext:
        """Raises Recoverable if the files of the settings cannot be used."""
        if self._tls is None:
            settings = self._settings
            own = ("http_certificate_file", "http_key_file", "http_key_password_file")
            names = (*(f"http_client_{name.removeprefix('http_')}" for name in own), *own)
            files = [str(getattr(settings, name)) for name in ("http_ca_file", *names)]
            try:
                self._tls = Reloaded(
                    "certificate to ask with",
                    files,
                    lambda former: client_context(settings, worker=True),
                )
            except Fatal as error:
                raise Recoverable(error.message, remedy=error.remedy) from error
        return self._tls.value

    def _client(self) -> aiohttp.ClientSession:
        """The client, created at its first use."""
        if self._session is None:
            # no limit for a whole answer, which may be long; silence is limited instead
            limits = aiohttp.ClientTimeout(total=None, sock_connect=2.0, sock_read=30.0)
            idle_s = min(IDLE_S, seconds(self._settings.http_idle) / 2)
            connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS, keepalive_timeout=idle_s)
            self._session = aiohttp.ClientSession(timeout=limits, connector=connector)
        return self._session

    async def close(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()
            self._session = None

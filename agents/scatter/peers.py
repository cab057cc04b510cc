"""Signed requests to other workers of the group."""

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from agents.http.keyring import KeyRing
from agents.http.signature import HEADER, sign
from schemas.errors import Recoverable
from streams.clock import Clock
from streams.period import seconds
from streams.settings import Settings

__all__ = ["Peers"]

MOST_CONNECTIONS = 100
"""To all other workers together."""
IDLE_S = 5.0
"""So long a connection to another worker is kept for the next question: less than it keeps it."""


class Peers:
    """The connections of one worker to all others. Use it in one event loop, and close it."""

    def __init__(self, settings: Settings, keyring: KeyRing, clock: Clock) -> None:
        self._settings = settings
        self._keyring = keyring
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

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
        with.
        """
        asked = URL(url).update_query(params or {})
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
            method, asked, data=sent, headers=headers, allow_redirects=False
        ) as answer:
            yield answer

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

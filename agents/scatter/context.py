"""What the handlers of all routes know of their worker."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
from aiohttp import web
from yarl import URL

from agents.http.admission import Admission
from agents.http.keyring import KeyRing
from agents.http.quota import Quota
from agents.http.signature import HEADER, Nonces, sign
from agents.resources.budget import answers
from agents.supervision.shard_manager import ShardManager
from agents.supervision.topic_watch import TopicWatch
from agents.views.catalog_view import CatalogView
from schemas.errors import Recoverable
from schemas.records.lifecycle import SourceState
from streams.clock import Clock, SystemClock
from streams.period import seconds
from streams.settings import Settings

__all__ = ["CONTEXT", "Context", "SourceStates"]


MOST_CONNECTIONS = 100
"""To all other workers together."""
IDLE_S = 5.0
"""So long a connection to another worker is kept for the next question: less than it keeps it."""


class SourceStates(Protocol):
    """`lifecycle.state` as this worker has read it (agents/views/state_view.py)."""

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once it has been read to what was its end at the start."""
        ...

    def get(self, source: str) -> SourceState | None:
        """The latest record of one source."""
        ...

    def __iter__(self) -> Iterator[SourceState]:
        """The latest record of every source."""
        ...


def _no_catalog() -> CatalogView:
    """Empty, and nothing more will come."""
    view = CatalogView()
    view.caught_up.set()
    return view


@dataclass
class Context:
    """One a worker. `address` is known once the server listens."""

    settings: Settings
    manager: ShardManager
    states: SourceStates
    catalog: CatalogView = field(default_factory=_no_catalog)
    topics: TopicWatch = field(init=False)
    clock: Clock = field(default_factory=SystemClock)
    address: str = ""
    keyring: KeyRing = field(init=False)
    admission: Admission = field(init=False)
    spools: Quota = field(init=False)
    nonces: Nonces = field(default_factory=Nonces, repr=False)
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.topics = TopicWatch(self.settings)
        self.keyring = KeyRing(self.settings.keys_file)
        self.admission = Admission(answers(self.settings.memory_budget))
        self.spools = Quota(self.settings.data_dir, self.settings.spool_bytes)

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask another worker; the request is signed, and no other address is followed to.

        Raises aiohttp.ClientError, TimeoutError, OSError; Recoverable where there is nothing to
        sign with.
        """
        asked = URL(url).update_query(params or {})
        headers = {}
        keys = self.keyring.keys
        if keys is not None:
            if not keys.signing_key:
                raise Recoverable(f"The keys file {self.settings.keys_file} has no secret")
            signature = sign(keys.signing_key, method, asked, body, self.clock.now_ms())
            headers[HEADER] = signature
        # aiohttp sends bytes in one go, however many
        sent = io.BytesIO(body) if body else None
        async with self._client().request(
            method, asked, data=sent, headers=headers, allow_redirects=False
        ) as answer:
            yield answer

    def _client(self) -> aiohttp.ClientSession:
        """Made when it is first needed."""
        if self._session is None:
            # no limit for a whole answer, which may be long; silence is limited instead
            limits = aiohttp.ClientTimeout(total=None, sock_connect=2.0, sock_read=30.0)
            idle_s = min(IDLE_S, seconds(self.settings.http_idle) / 2)
            connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS, keepalive_timeout=idle_s)
            self._session = aiohttp.ClientSession(timeout=limits, connector=connector)
        return self._session

    async def close(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()
            self._session = None


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)

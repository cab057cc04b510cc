"""What the handlers of all routes know of their worker."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
from aiohttp import web

from agents.catalog_view import CatalogView
from agents.host import ShardHost
from agents.web.keyring import KeyRing
from schemas.lifecycle import SourceState
from streams.clock import Clock, SystemClock
from streams.settings import Settings

__all__ = ["CONTEXT", "Context", "SourceStates"]


class SourceStates(Protocol):
    """`lifecycle.state` as this worker has read it (agents/state_view.py)."""

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
    host: ShardHost
    states: SourceStates
    catalog: CatalogView = field(default_factory=_no_catalog)
    clock: Clock = field(default_factory=SystemClock)
    address: str = ""
    keyring: KeyRing = field(init=False)
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.keyring = KeyRing(self.settings.keys_file)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client for other workers, made when it is first needed."""
        if self._session is None:
            # no limit for a whole answer, which may be long; silence is limited instead
            limits = aiohttp.ClientTimeout(total=None, sock_connect=2.0, sock_read=30.0)
            self._session = aiohttp.ClientSession(timeout=limits, middlewares=[self._identified])
        return self._session

    async def _identified(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Show other workers that this is one of them."""
        keys = self.keyring.keys
        if keys is not None:
            request.headers["Authorization"] = f"Bearer {keys.worker_token}"
        return await handler(request)

    async def close(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()
            self._session = None


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)

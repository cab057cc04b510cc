"""Who may call what, how often, with how much, and how long it may take."""

import asyncio
import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from agents.keys import Key, Scope
from agents.web.context import Context
from agents.web.keyring import is_loopback
from agents.web.problems import Problem
from agents.web.route import Handler, Route
from streams.period import seconds

__all__ = ["Bucket", "Guard"]

BURST_S = 2.0
"""So many seconds' worth of requests may come at once."""

_PORT = re.compile(r":\d*$")
_LIMIT: web.RequestKey[asyncio.Timeout] = web.RequestKey("limit", asyncio.Timeout)


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` requests a second, `rate * BURST_S` at once."""

    rate: float
    tokens: float
    at: float

    def wait(self, now: float) -> float:
        """Take one token, 0; or the seconds until there is one. `now`: a clock's seconds."""
        self.tokens = min(self.rate * BURST_S, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


class Guard:
    """Middleware over described routes; others need the scope `admin`.

    Without a keys file everything is allowed: such a worker listens to its own machine only,
    and answers requests to it by its own names only, see `_check_host`. Then no rate is limited
    either, nor is that of other workers.
    """

    def __init__(self, context: Context, routes: Iterable[Route]) -> None:
        self._context = context
        self._scopes: dict[tuple[str, str], Scope | None] = {
            (route.method, route.path): route.scope for route in routes
        }
        self._buckets: dict[str, Bucket] = {}

    def install(self, app: web.Application) -> None:
        """Add it to an application."""
        app.middlewares.append(self._middleware())
        app.on_response_prepare.append(_begun)

    def _middleware(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._check_host(request)
            scope = self._scope(request)
            if scope is not None:
                self._check_key(request, scope)
            settings = self._context.settings
            if scope is not Scope.WORKER and (request.content_length or 0) > (
                settings.http_body_bytes
            ):
                raise Problem(
                    "request_too_large",
                    f"A body of at most {settings.http_body_bytes:,} bytes is read here",
                )
            limit = None if scope is Scope.WORKER else seconds(settings.http_timeout)
            return await _limited(request, handler, limit)

        return guard

    def _scope(self, request: web.Request) -> Scope | None:
        if request.match_info.http_exception is not None:
            return None  # there is nothing, and everybody may know
        resource = request.match_info.route.resource
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        path = resource.canonical if resource is not None else ""
        return self._scopes.get((method, path), Scope.ADMIN)

    def _check_host(self, request: web.Request) -> None:
        """A page in a browser here may ask what its own name leads to, and whoever holds that
        name can let it lead to this machine; but the browser tells the name."""
        if self._context.keyring.keys is not None:
            return
        own = self._context.settings.http_host.lower()
        for host in request.headers.getall(hdrs.HOST, ()):
            name = _PORT.sub("", host).strip("[]").lower()
            if name != own and not is_loopback(name):
                raise Problem(
                    "foreign_host",
                    f"Without keys a worker is not asked by the name {name[:80]!r}: ask "
                    f"{self._context.address}, or make a key with `emberline keys add`",
                )

    def _check_key(self, request: web.Request, scope: Scope) -> None:
        keys = self._context.keyring.keys
        if keys is None:
            return
        kind, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        key = keys.find(token.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise Problem(
                "unauthorized",
                "Send a key that `emberline keys add` gave out: Authorization: Bearer KEY",
                headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="emberline"'},
            )
        if not key.allows(scope):
            raise Problem(
                "forbidden", f"The key {key.name!r} lacks the scope {scope.value}", scope=scope
            )
        self._check_rate(key)

    def _check_rate(self, key: Key) -> None:
        rate = self._context.settings.http_rate
        if not rate or Scope.WORKER in key.scopes:
            return
        now = time.monotonic()
        bucket = self._buckets.setdefault(key.hash, Bucket(rate, rate * BURST_S, now))
        wait = bucket.wait(now)
        if wait:
            raise Problem(
                "too_many_requests",
                f"The key {key.name!r} may ask {rate} times a second",
                headers={hdrs.RETRY_AFTER: str(math.ceil(wait))},
            )


async def _limited(
    request: web.Request, handler: Handler, limit_s: float | None
) -> web.StreamResponse:
    """Give up an answer that does not begin in time; one that has may take as long as it has
    a reader."""
    try:
        async with asyncio.timeout(limit_s) as limit:
            request[_LIMIT] = limit
            return await handler(request)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise Problem("time_limit", f"No answer within {limit_s:.0f} s") from error
    finally:
        request.pop(_LIMIT, None)


async def _begun(request: web.Request, response: web.StreamResponse) -> None:
    limit = request.get(_LIMIT)
    if limit is not None and not limit.expired():
        limit.reschedule(None)

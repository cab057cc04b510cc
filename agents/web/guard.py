"""Limits of requests: who may call which route, how often, with which body, and for how long."""

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Iterable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from agents.http import body
from agents.http.attempts import Bucket
from agents.http.connections import SERVER
from agents.http.keyring import KeysLost
from agents.http.keys import Key, Keys, Scope
from agents.http.origin import check_origin
from agents.http.pattern import pattern_of
from agents.http.problems import CODES, Problem, try_again
from agents.http.route import Handler, Route
from agents.http.signature import HEADER, SignatureRefused, Stale, netloc, verify
from agents.scatter.context import WorkerContext
from agents.web.access_log import note, write
from agents.web.caller import KEY, SESSION, lacking, slot
from agents.web.sign_in import signed_in
from streams.log_facts import HTTP_REQUEST
from streams.period import seconds

__all__ = ["Guard"]

log = logging.getLogger(__name__)

NOBODY = Keys()
_LEFT = 499
_OWN = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-store",
}
"""Of each answer, unless it says otherwise: it is what its type says, no page of another site loads
it, and nobody stores it."""
_HEALTH = frozenset({"/healthz", "/readyz"})
"""Answered without a client's certificate: what probes a worker often cannot have one."""
_STRICT = "max-age=31536000"
_STATUS: web.RequestKey[int] = web.RequestKey("status", int)
_LIMIT: web.RequestKey[asyncio.Timeout] = web.RequestKey("limit", asyncio.Timeout)


class Guard:
    """Middleware over described routes; others need the scope `admin`.

    Without a keys file everything is allowed: such a worker listens to its own machine only, and
    answers programs of that machine only, see agents/http/origin.py. Then there are no rate limits.
    Requests of other workers have no rate limit either.
    """

    def __init__(self, context: WorkerContext, routes: Iterable[Route]) -> None:
        self._context = context
        self._routes: dict[tuple[str, str], Route] = {
            (route.method, route.path): route for route in routes
        }
        self._buckets: dict[str, Bucket] = {}
        self._strict_host = _strict_host(context.settings.public_url)

    def install(self, app: web.Application) -> None:
        """Add it to an application."""
        app.middlewares.append(self._middleware())
        app.on_response_prepare.append(self._begun)

    def _middleware(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            settings = self._context.settings
            scope = self._scope(request)
            self._check_certificate(request)
            try:
                keys = self._context.keyring.keys
            except KeysLost as error:
                if scope is not None:
                    raise Problem("keys_lost", str(error)) from error
                keys = NOBODY  # health is answered without a key, and names the lost file
            if keys is None:
                check_origin(request, settings.http_host, self._context.address)
            if scope is Scope.WORKER:
                await self._check_worker(request, keys)
            elif scope is not None:
                self._check_key(request, scope, keys)
            if scope is not Scope.WORKER and (request.content_length or 0) > (
                settings.http_body_bytes
            ):
                raise Problem(
                    "request_too_large",
                    f"A body of at most {settings.http_body_bytes:,} bytes is read here",
                )
            if scope is Scope.WORKER or scope is None:
                # who asks another worker, or for health, waits for nobody's turn
                return await handler(request)
            request[body.MOST] = settings.http_body_bytes
            limit = seconds(settings.http_timeout)
            return await self._watched(request, _limited(request, self._admitted(handler), limit))

        return guard

    def _scope(self, request: web.Request) -> Scope | None:
        if request.match_info.http_exception is not None:
            return None  # there is nothing, and everybody may know
        route = self._route(request)
        if route is None:
            return Scope.ADMIN
        is_open = route.scope is Scope.METRICS and self._context.settings.metrics_open
        return None if is_open else route.scope

    def _route(self, request: web.Request) -> Route | None:
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        return self._routes.get((method, pattern_of(request)))

    async def _watched(
        self, request: web.Request, answering: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        """Write the answer to the access log, however it ends."""
        status: int | None = None
        try:
            response = await answering
            status = response.status
            return response
        except Problem as problem:
            status = CODES[problem.code][0]
            raise
        except Exception:
            status = 500
            raise
        finally:
            route = self._route(request)
            path = "" if route is None else route.path
            ended = request.get(_STATUS, _LEFT) if status is None else status
            write(request, f"{request.method} {path}", ended, self._context.clock.now_ms())

    def _admitted(self, handler: Handler) -> Handler:
        async def admitted(request: web.Request) -> web.StreamResponse:
            route = self._route(request)
            if route is None or route.work is None:
                return await handler(request)
            async with slot(request, route.work):
                return await handler(request)

        return admitted

    def _check_certificate(self, request: web.Request) -> None:
        """The handshake has refused wrong certificates already; here none is refused."""
        if not self._context.settings.http_client_ca_file:
            return
        route = self._route(request)
        if route is not None and route.path in _HEALTH:
            return
        if not request.get_extra_info("peercert"):
            raise Problem(
                "no_certificate", "Connect with a certificate that http_client_ca_file has issued"
            )

    async def _begun(self, request: web.Request, response: web.StreamResponse) -> None:
        """Headers of each answer, once it begins; from then on it has no time limit."""
        for name, value in _OWN.items():
            response.headers.setdefault(name, value)
        response.headers[hdrs.SERVER] = SERVER
        if self._strict_host and request.headers.get(hdrs.HOST, "").lower() == self._strict_host:
            response.headers["Strict-Transport-Security"] = _STRICT
        request[_STATUS] = response.status
        if HTTP_REQUEST.get():
            response.headers.setdefault("X-Request-Id", HTTP_REQUEST.get())
        limit = request.get(_LIMIT)
        if limit is not None and not limit.expired():
            limit.reschedule(None)

    async def _check_worker(self, request: web.Request, keys: Keys | None) -> None:
        """Check the signature of another worker, see agents/http/signature.py."""
        if keys is None:
            return
        context = self._context
        try:
            body_hash = verify(
                keys.signing_key,
                request.headers.get(HEADER, ""),
                request.method,
                netloc(context.address),
                request.raw_path,
                context.nonces,
                context.clock.now_ms(),
            )
            found = await body.read(request, body.MOST_WORKER_BYTES)
            if hashlib.sha256(found).hexdigest() != body_hash:
                raise SignatureRefused("the body is another one than what was signed")
        except SignatureRefused as error:
            if isinstance(error, Stale):
                log.warning(
                    "another worker's request from %s is refused: %s", request.remote, error
                )
            found_key = signed_in(request, keys)
            if found_key is not None:
                raise lacking(found_key.key, Scope.WORKER) from error
            raise _unauthorized(f"Only workers may send this request, and {error}") from error
        request[body.BODY] = found

    def _check_key(self, request: web.Request, scope: Scope, keys: Keys | None) -> None:
        if keys is None:
            if self._context.settings.require_keys:
                raise _unauthorized("This worker requires a key, and has no keys")
            return
        found = signed_in(request, keys)
        if found is None:
            raise _unauthorized(
                "Send a key that `emberline keys add` gave out: Authorization: Bearer KEY"
            )
        key = found.key
        request[KEY], request[SESSION] = key, found.session
        # also of what is refused: each refusal of users is a line of the access log
        self._check_rate(key)
        if not key.allows(scope):
            if scope is Scope.EXPORT:
                note(request, dict(request.match_info), users="id" in request.match_info)
                write(
                    request,
                    f"{request.method} {pattern_of(request)}",
                    403,
                    self._context.clock.now_ms(),
                )
            raise lacking(key, scope)

    def _check_rate(self, key: Key) -> None:
        rate = self._context.settings.http_rate
        if not rate:
            return
        now = self._context.clock.monotonic_s()
        bucket = self._buckets.setdefault(key.hash, Bucket.full(rate, now))
        wait = bucket.wait(now)
        if wait:
            raise Problem(
                "too_many_requests",
                f"The key {key.name!r} may send {rate} requests a second",
                headers=try_again(wait, self._context.clock.now_ms()),
            )


def _unauthorized(detail: str) -> Problem:
    return Problem(
        "unauthorized", detail, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="emberline"'}
    )


async def _limited(
    request: web.Request, handler: Handler, limit_s: float | None
) -> web.StreamResponse:
    """Cancel an answer that does not begin in time; an answer that has begun may continue as long
    as its client reads.
    """
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


def _strict_host(public_url: str) -> str:
    """The host that browsers are told to ask over https only: that of `public_url`, if it is https
    at its usual port. A browser applies this to all ports of a host, and at another port the host
    may well be one that serves other things over http.
    """
    public = urlsplit(public_url)
    if public.scheme != "https" or public.port not in (None, 443):
        return ""
    return (public.hostname or "").lower()

"""How many requests there were and how long answers took, by route; and a name for each request,
which its log lines and its answer have.
"""

from collections.abc import Iterable

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from agents.http.pattern import pattern_of
from agents.http.route import Handler, Route
from agents.scatter.context import CONTEXT
from schemas.records.trace import TRACEPARENT, readable
from streams.clock import SYSTEM_RANDOM
from streams.log_facts import HTTP_REQUEST, TRACE
from streams.metrics import names

__all__ = ["measured"]

_LEFT = 499
"""The client left before the answer began."""
_OTHER = "other"
_ID_BITS = 64


def measured(routes: Iterable[Route]) -> Middleware:
    """Middleware around all others. A route is named by its pattern, never by a path, so the number
    of names is that of the routes; what matches none is counted as `other`.
    """
    paths = {route.path for route in routes}
    methods = {route.method for route in routes} | {hdrs.METH_HEAD}

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        context = request.app[CONTEXT]
        HTTP_REQUEST.set(f"{SYSTEM_RANDOM.getrandbits(_ID_BITS):016x}")
        TRACE.set(readable(request.headers.get(TRACEPARENT, "")))
        began, code = context.clock.monotonic_s(), _LEFT
        try:
            response = await handler(request)
            code = response.status
            return response
        except web.HTTPException as error:
            code = error.status
            raise
        except Exception:
            code = 500
            raise
        finally:
            path = pattern_of(request)
            labels = (
                request.method if request.method in methods else _OTHER,
                path if path in paths else _OTHER,
            )
            passed = context.clock.monotonic_s() - began
            context.meters.observe(names.HTTP_TIME, passed, *labels)
            context.meters.count(names.HTTP_REQUESTS, *labels, str(code))

    return measure

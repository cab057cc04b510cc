"""Parameters of requests: only those that a route describes, as a misspelt filter would silently
select everything; and whole numbers in them.
"""

from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware

from agents.http.keys import Scope
from agents.http.problems import bad_request
from agents.http.route import Handler, Route
from schemas.words.nearest import hint

__all__ = ["known_parameters", "number"]

_MOST_DIGITS = 18


def known_parameters(routes: Iterable[Route]) -> Middleware:
    """Middleware that refuses (400) a parameter that the route does not describe.

    Routes without a scope (such as health checks) accept any, because probes add their own.
    """
    taken: dict[tuple[str, str], list[str]] = {
        (route.method, route.path): [one.name for one in route.parameters if one.where == "query"]
        for route in routes
        if route.scope not in (None, Scope.WORKER)
    }

    @web.middleware
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        at = "" if resource is None else resource.canonical
        names = taken.get((request.method, at))
        unknown = [] if names is None else [name for name in request.query if name not in names]
        if unknown and names is not None:
            remedy = hint(unknown[0], names) if names else "It takes none"
            raise bad_request(f"There is no parameter {unknown[0][:80]!r} here. {remedy}")
        return await handler(request)

    return known


def number(text: str) -> int | None:
    """The number in decimal digits; None for anything else, and for more than 64 bits.

    Python's own `int` raises ValueError for some thousands of digits.
    """
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None

"""Pages of lists: how many entries, behind which one, and the routes that answer with them."""

from typing import Any

from aiohttp import web

from agents.http.keys import Scope
from agents.http.parameters import number
from agents.http.problems import bad_request
from agents.http.route import Handler, Parameter, Route, query, ref

__all__ = [
    "DEFAULT_LIMIT",
    "MOMENT",
    "MOST",
    "cursor_parameter",
    "limit_of",
    "limit_parameter",
    "list_route",
    "moment_of",
    "moment_parameter",
]

DEFAULT_LIMIT = 100
MOST = 1_000
_CURSOR = "`next` of the page before"
MOMENT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}


def limit_of(request: web.Request, default: int = DEFAULT_LIMIT, most: int = MOST) -> int:
    """The number of entries of a page. Raises Problem (400)."""
    text = request.query.get("limit")
    if text is None:
        return default
    found = number(text)
    if found is None or not 0 < found <= most:
        raise bad_request(f"limit is a number from 1 to {most}, not {text[:40]!r}")
    return found


def limit_parameter(what: str, default: int = DEFAULT_LIMIT, most: int = MOST) -> Parameter:
    """Its description; `what` names the entries."""
    doc = f"Most {what} of a page"
    return query("limit", doc, type="integer", minimum=1, maximum=most, default=default)


def cursor_parameter(more: str = "", **schema: Any) -> Parameter:
    """The description of the place behind which a page begins; `more` is added to it."""
    return query("cursor", _CURSOR + more, **schema)


def list_route(
    path: str,
    handler: Handler,
    summary: str,
    shape: str,
    entries: str,
    *parameters: Parameter,
    cursor: Parameter | None = None,
) -> Route:
    """A call that answers with pages of a list: `shape` names the schema of a page, `entries` what
    it lists. `cursor` replaces the usual description of that parameter.
    """
    pages = limit_parameter(entries), cursor or cursor_parameter()
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        scope=Scope.READ,
        parameters=(*parameters, *pages),
        etag=True,
        answers={"application/json": ref(shape)},
        problems=("bad_request", "shards_unavailable"),
    )


def moment_of(request: web.Request, name: str) -> int | None:
    """A time in UTC milliseconds, or another whole number. Raises Problem (400)."""
    text = request.query.get(name)
    if text is None:
        return None
    found = number(text)
    if found is None:
        raise bad_request(f"{name} is a whole number, not {text[:40]!r}")
    return found


def moment_parameter(name: str, doc: str) -> Parameter:
    """The description of such a number."""
    return query(name, doc, **MOMENT)

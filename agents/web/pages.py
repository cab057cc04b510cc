"""Pages of lists: how many entries, and behind which one."""

from typing import Any

from aiohttp import web

from agents.http.parameters import number
from agents.http.problems import bad_request
from agents.http.route import Parameter, query

__all__ = ["DEFAULT_LIMIT", "MOST", "limit_of", "limit_parameter", "moment_of", "moment_parameter"]

DEFAULT_LIMIT = 100
MOST = 1_000
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

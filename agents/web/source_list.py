"""Which sources a call is about, and in which order: `?name= kind= state= tag= sort= order=
cursor=` of GET /sources, and `match` of commands.
"""

import base64
import binascii
from collections.abc import Iterable

import orjson
from aiohttp import web

from agents.http.problems import bad_request
from agents.http.route import query, several
from agents.views.source_table import ORDERS, After, ListFilter, SourceOrder
from schemas.records.lifecycle import SOURCE_KINDS, State
from schemas.words.nearest import hint

__all__ = ["PARAMETERS", "after_of", "cursor_of", "filter_of", "order_of", "source_filter"]

_DIRECTIONS = ("asc", "desc")


def filter_of(request: web.Request) -> ListFilter:
    """The filter of a query. Raises Problem (400)."""
    given = request.query
    many = {name: given.getall(name, []) for name in ("kind", "state", "tag")}
    return source_filter(given.get("name", ""), **many)


def source_filter(
    name: str, kind: Iterable[str], state: Iterable[str], tag: Iterable[str]
) -> ListFilter:
    """A filter of texts. Raises Problem (400)."""
    kinds, states = frozenset(kind), [one.upper() for one in state]
    for one in kinds:
        if one not in SOURCE_KINDS:
            raise bad_request(f"kind is not {one[:80]!r}. {hint(one, SOURCE_KINDS)}")
    for one in states:
        if one not in State.__members__:
            raise bad_request(f"state is not {one[:80]!r}. {hint(one, State)}")
    return ListFilter(name, kinds, frozenset(State(one) for one in states), frozenset(tag))


def order_of(request: web.Request) -> SourceOrder:
    """The order of a query. Raises Problem (400)."""
    by, direction = request.query.get("sort", "source"), request.query.get("order", "asc")
    if by not in ORDERS:
        raise bad_request(f"sort is not {by[:80]!r}. {hint(by, ORDERS)}")
    if direction not in _DIRECTIONS:
        raise bad_request(f"order is not {direction[:80]!r}. {hint(direction, _DIRECTIONS)}")
    return SourceOrder(by, direction == "desc")


def cursor_of(after: After, order: SourceOrder) -> str:
    """Where the next page begins, as a text: by key it is the key."""
    if order == SourceOrder():
        return after.key
    packed = orjson.dumps([order.by, order.descending, after.value, after.key])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def after_of(request: web.Request, order: SourceOrder) -> After | None:
    """What a cursor says. Raises Problem (400) for one of another order, and for none."""
    text = request.query.get("cursor")
    if not text:
        return None
    if order == SourceOrder():
        return After(None, text)
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        by, descending, value, key = found
    except (binascii.Error, ValueError, TypeError) as error:
        raise _no_cursor() from error
    kind = str if order.by == "name" else int
    fits = value is None or (isinstance(value, kind) and not isinstance(value, bool))
    small = not isinstance(value, int) or -(1 << 63) <= value < 1 << 63
    if [by, descending] != [order.by, order.descending] or not (fits and small):
        raise _no_cursor()
    if not isinstance(key, str):
        raise _no_cursor()
    return After(value, key)


def _no_cursor() -> Exception:
    return bad_request("cursor is `next` of the page before, in the same order")


PARAMETERS = (
    query("name", "Found anywhere in the name or the id, in any case"),
    several("kind", "Campaigns or Canvases only", SOURCE_KINDS),
    several("state", "Sources in one of these states only", list(State)),
    several("tag", "Sources with all of these tags only"),
    query(
        "sort",
        "What the order goes by; sources without a value are last, and equal ones are in the order "
        "of their keys. An order by sizes is that of at most 10 s ago: `sorted_at` says of when",
        enum=list(ORDERS),
        default="source",
    ),
    query("order", "Ascending or descending", enum=list(_DIRECTIONS), default="asc"),
)

"""GET /events: states of sources, progress of requests and totals, as they change."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from agents.http.keys import Scope
from agents.http.parameters import number
from agents.http.problems import Problem, bad_request
from agents.http.route import Route, header, query, ref
from agents.requests.changes import Position
from agents.requests.events import TooManyListeners
from agents.scatter.context import CONTEXT
from agents.scatter.visible import states_read
from agents.web.asking import requests_read
from agents.web.caller import SESSION, caller
from agents.web.sign_in import still_valid
from agents.web.stream import check_version, stream

__all__ = ["ROUTES"]

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
_BEATS = (1, 15)
_ID = "^[0-9]{1,18}-[0-9]{1,18}$"


async def events(request: web.Request) -> web.StreamResponse:
    """A stream that goes on until the client leaves; see docs/operating.md."""
    context, key = request.app[CONTEXT], caller(request)
    check_version(request)
    states_read(context)
    requests_read(context)
    since, beat = _since(request), request.query.get("beat")
    beat_s = None if beat is None else number(beat)
    if beat is not None and (beat_s is None or not _BEATS[0] <= beat_s <= _BEATS[1]):
        raise bad_request(f"beat is a whole number of seconds from {_BEATS[0]} to {_BEATS[1]}")

    def allowed() -> bool:
        return still_valid(context, key, request.get(SESSION))

    async def pieces() -> AsyncGenerator[bytes, None]:
        async with aclosing(context.events.events(since, allowed, beat_s)) as found:
            async for piece in found:
                yield piece

    try:
        with context.events.place(None if key is None else key.name):
            return await stream(request, pieces(), _HEADERS)
    except TooManyListeners as error:
        detail = "The worker, or this key, has as many listeners as it may: ask another worker"
        raise Problem("busy", detail) from error


def _since(request: web.Request) -> Position | None:
    """What the listener knows: the header counts before the parameter. Raises Problem (400) for
    either that is no id.
    """
    known = None
    for text in (request.query.get("since"), request.headers.get("Last-Event-ID")):
        if text is not None:
            known = Position.parse(text)
            if known is None:
                raise bad_request(f"{text[:80]!r} is not the id of an event")
    return known


ROUTES = (
    Route(
        method="GET",
        path="/events",
        handler=events,
        summary="Server-sent events: what changes, as it changes",
        scope=Scope.READ,
        work=None,
        parameters=(
            header("Last-Event-ID", "The id of the last event that is known", pattern=_ID),
            query("since", "The same, for clients that cannot send the header", pattern=_ID),
            query(
                "beat",
                "Seconds after which a listener without an event gets the event `beat`",
                type="integer",
                minimum=_BEATS[0],
                maximum=_BEATS[1],
            ),
        ),
        answers={"text/event-stream": ref("Event")},
        problems=("bad_request", "shards_unavailable"),
    ),
)

"""GET /asyncapi.json: the contract of the topics, made once a worker."""

from aiohttp import web

from agents.http.keys import Scope
from agents.http.route import Route
from agents.reference.asyncapi import document
from agents.web.answer import Prepared
from streams.settings import Settings

__all__ = ["ROUTES", "install"]

_DOCUMENT: web.AppKey[Prepared] = web.AppKey("asyncapi", Prepared)


def install(app: web.Application, settings: Settings) -> None:
    """Store the document for the handler."""
    app[_DOCUMENT] = Prepared.of(document(settings))


async def asyncapi(request: web.Request) -> web.Response:
    """The document."""
    return request.app[_DOCUMENT].answer(request)


ROUTES = (
    Route(
        method="GET",
        path="/asyncapi.json",
        handler=asyncapi,
        summary="The topics and their records, as an AsyncAPI document",
        scope=Scope.READ,
        work=None,
        etag=True,
        answers={"application/json": {"type": "object"}},
    ),
)

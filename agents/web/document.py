"""A JSON document that is made once a worker and answered with an ETag."""

from typing import Any

from aiohttp import web

from agents.http.keys import Scope
from agents.http.route import Route
from agents.web.answer import Prepared

__all__ = ["Document"]


class Document:
    """Where a document is served, and its route. `install` comes before the first request."""

    def __init__(self, path: str, summary: str) -> None:
        self._key = web.AppKey(path, Prepared)
        self.route = Route(
            method="GET",
            path=path,
            handler=self._answer,
            summary=summary,
            scope=Scope.READ,
            work=None,
            etag=True,
            answers={"application/json": {"type": "object"}},
        )

    def install(self, app: web.Application, document: dict[str, Any]) -> None:
        """Store the document for the handler."""
        app[self._key] = Prepared.of(document)

    async def _answer(self, request: web.Request) -> web.Response:
        return request.app[self._key].answer(request)

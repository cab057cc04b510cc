"""GET /asyncapi.json: the contract of the topics, made once a worker."""

from aiohttp import web

from agents.reference.asyncapi import document
from agents.web.document import Document
from streams.settings import Settings

__all__ = ["ROUTES", "install"]

_DOCUMENT = Document("/asyncapi.json", "The topics and their records, as an AsyncAPI document")


def install(app: web.Application, settings: Settings) -> None:
    """Make the document."""
    _DOCUMENT.install(app, document(settings))


ROUTES = (_DOCUMENT.route,)

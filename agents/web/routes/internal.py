"""The routes by which workers query each other's shards: one for each query of `agents.scatter`.

Not part of the contract: they may change with any version.
"""

from aiohttp import hdrs, web

from agents.http import body
from agents.http.keys import Scope
from agents.http.problems import bad_request
from agents.http.route import Handler, Route
from agents.scatter.answering import QUERIES, QueryKind, answered
from agents.scatter.context import CONTEXT
from agents.web.stream import stream
from schemas.errors import UsageError

__all__ = ["ROUTES"]


def _answered(kind: QueryKind) -> Handler:
    """The handler of one kind of query. It raises Problem for an invalid query (400), and
    Recoverable if the shard is not here or cannot answer now.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        context, partition = request.app[CONTEXT], request.match_info["partition"]
        sent = await body.read(request, kind.most_bytes)
        try:
            async with answered(context, kind, partition, request.query, sent) as found:
                headers = {**found.headers, hdrs.CONTENT_TYPE: found.media}
                if isinstance(found.body, bytes):
                    return web.Response(body=found.body, headers=headers)
                return await stream(request, found.body, headers)
        except UsageError as error:
            raise bad_request(str(error)) from error

    return handler


def _route(kind: QueryKind) -> Route:
    return Route(
        method=kind.method,
        path=f"/internal/shards/{{partition}}/{kind.name}",
        handler=_answered(kind),
        summary=kind.summary,
        scope=Scope.WORKER,
    )


ROUTES = tuple(map(_route, QUERIES))

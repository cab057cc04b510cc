"""GET /filters: every filter and what it takes, for programs that offer them to people."""

from aiohttp import web

from agents.filters.description import described, facts
from agents.filters.references import MAX_DEPTH, MAX_NODES
from agents.http.keys import Scope
from agents.http.route import Route, ref
from agents.web.answer import tagged
from agents.web.user_columns import COLUMNS

__all__ = ["ROUTES", "filters"]


async def filters(request: web.Request) -> web.Response:
    """The filter language as the parser of this worker reads it, and the columns of an audience."""
    found = {
        "filters": [facts(one) for one in described()],
        "most_levels": MAX_DEPTH,
        "most_nodes": MAX_NODES,
        "columns": list(COLUMNS),
    }
    return tagged(request, found)


ROUTES = (
    Route(
        method="GET",
        path="/filters",
        handler=filters,
        summary="Every filter, and the arguments that it takes",
        scope=Scope.READ,
        etag=True,
        answers={"application/json": ref("Filters")},
    ),
)

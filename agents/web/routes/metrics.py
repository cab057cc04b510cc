"""GET /metrics: the figures of this worker for Prometheus."""

from aiohttp import hdrs, web

from agents.http.keys import Scope
from agents.http.route import Route
from agents.resources.threads import execute
from agents.scatter.context import CONTEXT
from agents.web.worker_metrics import worker_metrics
from streams.metrics.exposition import MEDIA_TYPES, Families, encode

__all__ = ["ROUTES", "metrics"]


async def metrics(request: web.Request) -> web.Response:
    """All metrics, in the format that the header Accept prefers."""
    context = request.app[CONTEXT]
    families = Families.of(worker_metrics(context), context.meters)
    accept = request.headers.get(hdrs.ACCEPT, "")
    body, content_type = await execute(lambda: encode(families, accept))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="This worker's figures for Prometheus, in its text format or as OpenMetrics",
        scope=Scope.METRICS,
        note=" With the setting `metrics_open` it takes no key.",
        work=None,
        answers={media: {"type": "string"} for media in MEDIA_TYPES},
    ),
)

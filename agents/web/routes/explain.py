"""GET /sources/{source}/explain: why a source is hot, what uses it, what would change that, and
when.
"""

import asyncio
from typing import Any

from aiohttp import web

from agents.coordinator.rules.as_if import AsIf
from agents.coordinator.rules.explain import explain
from agents.coordinator.rules.policy import Policy
from agents.http.keys import Scope
from agents.http.problems import bad_request, shards_unavailable, unknown_source
from agents.http.route import SOURCE, Route, query, ref
from agents.scatter.context import CONTEXT
from schemas.errors import UsageError

__all__ = ["ROUTES", "explain_source"]

_MOST = 100


async def explain_source(request: web.Request) -> web.Response:
    """The explanation, also for hypothetical changes (`as_if_stopped`, `as_if_without`), which are
    not made.
    """
    context = request.app[CONTEXT]
    source = request.match_info["source"]
    if not (context.states.caught_up.is_set() and context.catalog.caught_up.is_set()):
        raise shards_unavailable("This worker has not read states and definitions yet")
    record = context.states.get(source)
    if record is None:
        raise unknown_source(source)
    as_if = AsIf(
        *(tuple(request.query.getall(name, ())) for name in ("as_if_stopped", "as_if_without"))
    )
    if len(as_if.stopped) + len(as_if.without) > _MOST:
        raise bad_request(f"At most {_MOST} definitions can be changed at once")
    catalog = {entry.definition.key: entry.definition for entry in context.catalog}
    quarantined = dict(context.catalog.quarantined)
    policy, now = Policy.of(context.settings), context.clock.now_ms()
    try:
        found = await asyncio.to_thread(
            explain, record, catalog, policy, now, as_if or None, quarantined
        )
    except UsageError as error:
        raise bad_request(str(error)) from error
    return web.json_response(found.facts(now), headers={"Cache-Control": "no-store"})


_KEYS: dict[str, Any] = {"type": "array", "items": {"type": "string"}, "maxItems": _MOST}

ROUTES = (
    Route(
        method="GET",
        path="/sources/{source}/explain",
        handler=explain_source,
        summary="Why a source is hot or not, through what, what would change it, and when",
        scope=Scope.READ,
        parameters=(
            SOURCE,
            query("as_if_stopped", "Definitions thought to stop today", **_KEYS),
            query(
                "as_if_without",
                "Definitions thought without filters: `KEY`, or `KEY@PATH`",
                **_KEYS,
            ),
        ),
        answers={"application/json": ref("Explanation")},
        problems=("bad_request", "unknown_source", "shards_unavailable"),
    ),
)

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
from agents.http.problems import bad_request, shards_unavailable
from agents.http.route import SOURCE, Route, query, ref
from agents.scatter.context import CONTEXT
from agents.web.source_names import definition_key, source_of, unknown_key
from schemas.errors import UsageError

__all__ = ["ROUTES", "explain_source"]

_MOST = 100


async def explain_source(request: web.Request) -> web.Response:
    """The explanation, also for hypothetical changes (`as_if_stopped`, `as_if_without`), which are
    not made.
    """
    context = request.app[CONTEXT]
    source = source_of(request)
    if not (context.states.caught_up.is_set() and context.catalog.caught_up.is_set()):
        raise shards_unavailable("This worker has not read states and definitions yet")
    record = context.states.get(source)
    if record is None:
        raise unknown_key(context, source)
    given = [request.query.getall(name, []) for name in ("as_if_stopped", "as_if_without")]
    if sum(map(len, given)) > _MOST:
        raise bad_request(f"At most {_MOST} definitions can be changed at once")
    as_if = AsIf(*(tuple(_meant(request, text) for text in texts) for texts in given))
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


def _meant(request: web.Request, text: str) -> str:
    """A definition, or a part of its filter (`KEY@$..`), with the key of a source that is named."""
    key, at, path = text.partition("@$")
    return definition_key(request, key) + at + path


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

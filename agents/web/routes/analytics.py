"""GET /sources/{source}/analytics: totals and unique users, summed over all shards.

The body depends only on the figures and the name, so it is identical in every byte before, during
and after an expiry.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from aiohttp import web

from agents.http.keys import Scope
from agents.http.route import SOURCE, Route, ref
from agents.scatter.context import CONTEXT
from agents.scatter.figures import figures
from agents.scatter.visible import known
from agents.shard.analytics import TOTAL_COLUMNS, UNIQUE_COLUMNS, Rows
from agents.web.source_names import source_of

__all__ = ["ROUTES", "analytics"]

_EPOCH = date(1970, 1, 1)


async def analytics(request: web.Request) -> web.Response:
    """Figures of all shards, also of hidden sources.

    Raises Unavailable, UnknownSource.
    """
    context = request.app[CONTEXT]
    source = source_of(request)
    record = known(context, source)
    found = await figures(context, source)
    body = {
        "source": source,
        "name": record.name,
        "totals": [
            {**_named(TOTAL_COLUMNS, sort), "day": _day(sort[0]), "count": count}
            for sort, count in _summed(each.totals for each in found)
        ],
        "unique_users": [
            {**_named(UNIQUE_COLUMNS, sort), "users": users}
            for sort, users in _summed(each.uniques for each in found)
        ],
    }
    return web.json_response(body, headers={"Cache-Control": "no-store"})


def _summed(parts: Iterable[Rows]) -> list[tuple[tuple[Any, ...], int]]:
    total: Counter[tuple[Any, ...]] = Counter()
    for rows in parts:
        for *sort, count in rows:
            total[tuple(sort)] += int(count or 0)
    return sorted(total.items(), key=lambda item: json.dumps(item[0]))


def _named(names: tuple[str, ...], sort: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, sort, strict=True))


def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()


ROUTES = (
    Route(
        method="GET",
        path="/sources/{source}/analytics",
        handler=analytics,
        summary="Totals by day, kind, channel, step and variation, and unique users: the same "
        "before and after an expiry",
        scope=Scope.READ,
        parameters=(SOURCE,),
        answers={"application/json": ref("Analytics")},
        problems=("unknown_source", "shards_unavailable"),
    ),
)

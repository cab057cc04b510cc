"""GET /sources and /sources/{source}: the state of every source, its reason, and its size."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from aiohttp import web

from agents.http.keys import Scope
from agents.http.route import SOURCE, Route, ref
from agents.requests.changes import source_facts
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.sizes import Sizes, sizes
from agents.scatter.sizes import outline as all_sizes
from agents.scatter.visible import known, states_read
from agents.views.source_table import BY_SIZE
from agents.web.answer import tagged
from agents.web.pages import limit_of, list_route
from agents.web.source_list import PARAMETERS, after_of, cursor_of, filter_of, order_of
from agents.web.source_names import source_of
from schemas.records.lifecycle import SourceState, State
from schemas.words.plural import numbered, plural

__all__ = ["ROUTES", "list_sources", "one_source"]

_EPOCH = date(1970, 1, 1)


async def list_sources(request: web.Request) -> web.Response:
    """Pages of sources in an order; agents/web/source_list.py has the parameters.

    `next` is the cursor of the following page, null on the last.
    """
    context = request.app[CONTEXT]
    limit, order = limit_of(request), order_of(request)
    wanted, after = filter_of(request), after_of(request, order)
    states_read(context)
    outline, sorted_at = None, None
    if order.by in BY_SIZE:
        outline, sorted_at = await context.outlines.latest(lambda: all_sizes(context))
    page = await context.table.page(wanted, order, after, limit, outline)
    found = (context.states.get(source) for source in page.keys)
    records = [record for record in found if record is not None]
    measured = await sizes(context, [record.source for record in records])
    return tagged(
        request,
        {
            "sources": [_described(context, record, measured) for record in records],
            "names": _names(context, records),
            "total": page.total,
            "next": None if page.next is None else cursor_of(page.next, order),
            "sorted_at": sorted_at,
            "missing_shards": measured.missing,
        },
    )


async def one_source(request: web.Request) -> web.Response:
    """One source. `sizes` is null unless all shards have answered."""
    context = request.app[CONTEXT]
    source = source_of(request)
    record = known(context, source)
    measured = await sizes(context, [source])
    found = _described(context, record, measured) | {"missing_shards": measured.missing}
    return tagged(request, found)


def _described(context: WorkerContext, record: SourceState, measured: Sizes) -> dict[str, Any]:
    """The lifecycle record, with times in milliseconds, and with `why` and `sizes`."""
    size = asdict(measured.by_source[record.source])
    last = size.pop("last_day")
    known = last is not None and not measured.missing
    return source_facts(record, context.requests) | {
        "why": why(record),
        "sizes": None if measured.missing else size,
        "last_event_on": (_EPOCH + timedelta(last)).isoformat() if known else None,
    }


def _names(context: WorkerContext, records: Iterable[SourceState]) -> dict[str, str]:
    """The names of what uses these sources, and of the segments between, by key."""
    uses = (use for record in records for use in record.exempt_by)
    entries = (context.catalog.get(key) for use in uses for key in (use.root, *use.through))
    return {entry.definition.key: entry.definition.name for entry in entries if entry is not None}


def why(record: SourceState) -> list[str]:
    """Sentences for people: the reason of the source's state."""
    reasons = []
    for exemption in record.exempt_by:
        through = f" through {', '.join(exemption.through)}" if exemption.through else ""
        reasons.append(f"{exemption.root} uses it{through} ({exemption.filter})")
    if record.held is not None:
        because = f": {record.held.reason}" if record.held.reason else ""
        kind = "under the legal hold of" if record.held.legal else "held by"
        reasons.append(f"{kind} {record.held.by}{because}")
    if record.due_because:
        reasons.append(record.due_because)
    if record.legacy_deleted:
        reasons.append("deleted for good under the older policy")
    if record.deleted:
        reasons.append("its definition was deleted")
    if record.state is State.UNKNOWN:
        reasons.append("it has events but no definition")
    if record.stuck:
        have = plural(len(record.stuck), "has", "have")
        reasons.append(f"{numbered('shard', record.stuck)} {have} not reported")
    if record.failure is not None and record.failure.final:
        reasons.append(f"its restore failed: {record.failure.sentence()}")
    if record.message:
        reasons.append(record.message)
    return reasons


ROUTES = (
    list_route(
        "/sources",
        list_sources,
        "Where every source stands, in pages",
        *("Sources", "sources"),
        *PARAMETERS,
    ),
    Route(
        method="GET",
        path="/sources/{source}",
        handler=one_source,
        summary="Where one source stands, why, and how large it is",
        scope=Scope.READ,
        parameters=(SOURCE,),
        etag=True,
        answers={"application/json": ref("Source")},
        problems=("unknown_source", "shards_unavailable"),
    ),
)

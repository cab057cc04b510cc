"""GET /sources and /sources/{source}: the state of every source, its reason, and its size."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any

from aiohttp import web

from agents.http.keys import Scope
from agents.http.problems import bad_request
from agents.http.route import SOURCE, Route, query, ref
from agents.requests.changes import source_facts
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.sizes import Sizes, sizes
from agents.scatter.visible import known, states_read
from agents.web.answer import tagged
from agents.web.pages import limit_of, limit_parameter
from agents.web.source_names import source_of
from schemas.records.lifecycle import SOURCE_KINDS, SourceState, State
from schemas.words.nearest import hint
from schemas.words.plural import numbered, plural

__all__ = ["ROUTES", "list_sources", "one_source"]


async def list_sources(request: web.Request) -> web.Response:
    """Pages of sources in order; `?name= kind= state= tag= limit= cursor=`.

    `name` matches any part of a source's name or id, in any case; `next` is the cursor of the
    following page, null on the last.
    """
    context = request.app[CONTEXT]
    limit = limit_of(request)
    found = sorted(_matching(_states(context), request.query), key=lambda record: record.source)
    after = request.query.get("cursor", "")
    rest = (record for record in found if record.source > after)
    page = list(islice(rest, limit + 1))
    more, page = len(page) > limit, page[:limit]
    measured = await sizes(context, [record.source for record in page])
    return tagged(
        request,
        {
            "sources": [_described(context, record, measured) for record in page],
            "total": len(found),
            "next": page[-1].source if more else None,
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


def _states(context: WorkerContext) -> Iterable[SourceState]:
    states_read(context)
    return context.states


def _matching(states: Iterable[SourceState], query: Mapping[str, str]) -> Iterable[SourceState]:
    kind, state, tag = query.get("kind"), query.get("state"), query.get("tag")
    name = query.get("name", "").casefold()
    if kind is not None and kind not in SOURCE_KINDS:
        raise bad_request(f"kind is not {kind[:80]!r}. {hint(kind, SOURCE_KINDS)}")
    if state is not None and state.upper() not in State.__members__:
        raise bad_request(f"state is not {state[:80]!r}. {hint(state, State)}")
    for record in states:
        if (
            (kind is None or record.source.startswith(f"{kind}:"))
            and (state is None or record.state is State(state.upper()))
            and (tag is None or tag in record.tags)
            and (name in record.name.casefold() or name in record.source.casefold())
        ):
            yield record


def _described(context: WorkerContext, record: SourceState, measured: Sizes) -> dict[str, Any]:
    """The lifecycle record, with times in milliseconds, and with `why` and `sizes`."""
    size = asdict(measured.by_source[record.source])
    return source_facts(record, context.requests) | {
        "why": why(record),
        "sizes": None if measured.missing else size,
    }


def why(record: SourceState) -> list[str]:
    """Sentences for people: the reason of the source's state."""
    reasons = []
    for exemption in record.exempt_by:
        through = f" through {', '.join(exemption.through)}" if exemption.through else ""
        reasons.append(f"{exemption.root} uses it{through} ({exemption.filter})")
    if record.held is not None:
        because = f": {record.held.reason}" if record.held.reason else ""
        reasons.append(f"held by {record.held.by}{because}")
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
    if record.message:
        reasons.append(record.message)
    return reasons


ROUTES = (
    Route(
        method="GET",
        path="/sources",
        handler=list_sources,
        summary="Where every source stands, in pages",
        scope=Scope.READ,
        parameters=(
            query("name", "Found anywhere in the name or the id, in any case"),
            query("kind", "Campaigns or Canvases only", enum=list(SOURCE_KINDS)),
            query("state", "Sources in this state only", enum=[state.value for state in State]),
            query("tag", "Sources with this tag only"),
            limit_parameter("sources"),
            query("cursor", "`next` of the page before"),
        ),
        etag=True,
        answers={"application/json": ref("Sources")},
        problems=("bad_request", "shards_unavailable"),
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

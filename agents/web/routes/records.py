"""Records to look at: definitions, audit, rejected records, settings."""

import asyncio
from dataclasses import asdict
from typing import Any

from aiohttp import web

from agents.filters.references import KEY_KINDS
from agents.http.keys import Scope
from agents.http.problems import Problem, bad_request, shards_unavailable
from agents.http.route import Route, path, query, ref, source_query
from agents.names.form import folded
from agents.requests.audit import AuditFilter, newest, oldest
from agents.requests.audit_facts import audit_facts
from agents.requests.rejected import rejected
from agents.scatter.context import CONTEXT, WorkerContext
from agents.web.access_log import count, note
from agents.web.answer import json_answer, tagged
from agents.web.caller import allowed, require
from agents.web.pages import (
    MOMENT,
    cursor_parameter,
    limit_of,
    list_route,
    moment_of,
    moment_parameter,
)
from agents.web.source_names import definition_key, source_asked
from schemas.words.nearest import hint, nearest_key
from streams.kafka.topics import Topics
from streams.settings import describe

__all__ = ["ROUTES"]

MOST_SAMPLES = 20
_ORDERS = ("newest", "oldest")


async def definition(request: web.Request) -> web.Response:
    """A definition as the workers use it; `unreadable` says why the latest record is not used."""
    context = request.app[CONTEXT]
    if not context.catalog.caught_up.is_set():
        raise shards_unavailable("This worker has not read the definitions yet")
    key = definition_key(request, request.match_info["key"])
    entry, aside = context.catalog.get(key), context.catalog.quarantined.get(key)
    if entry is None and aside is None:
        keys = [one.definition.key for one in context.catalog]
        near = await asyncio.to_thread(nearest_key, key, keys)
        instead = f". Did you mean {near}?" if near else ""
        raise Problem(
            "unknown_definition", f"The catalog has nothing under {key[:200]!r}{instead}", key=key
        )
    found = None if entry is None else entry.definition
    return tagged(
        request,
        {
            "key": key,
            "kind": key.partition(":")[0],
            "name": "" if found is None else found.name,
            "status": None if found is None else found.status.value,
            "tags": [] if found is None else list(found.tags),
            "filters": None if found is None else found.filters,
            "references": [] if found is None else list(found.references),
            "stopped_at": None if found is None else found.stopped_at,
            "updated_at": None if found is None else found.updated_at,
            "legacy_deleted": found is not None and found.legacy_deleted,
            "steps": [] if found is None else [asdict(part) for part in found.steps],
            "variations": [] if found is None else [asdict(part) for part in found.variations],
            "unreadable": None if aside is None else aside.detail,
        },
    )


async def definitions(request: web.Request) -> web.Response:
    """Pages of definitions in order of their keys; `?kind= name= limit= cursor=`."""
    context, given = request.app[CONTEXT], request.query
    if not context.catalog.caught_up.is_set():
        raise shards_unavailable("This worker has not read the definitions yet")
    limit, kind, after = limit_of(request), given.get("kind"), given.get("cursor", "")
    name = folded(given.get("name", ""))
    if kind is not None and kind not in KEY_KINDS:
        raise bad_request(f"kind is not {kind[:80]!r}. {hint(kind, KEY_KINDS)}")
    found = [
        one
        for one in (entry.definition for entry in context.catalog.of_kind(kind))
        if name in folded(one.name) or name in folded(one.key)
    ]
    page = [one for one in found if one.key > after][: limit + 1]
    more, page = len(page) > limit, page[:limit]
    return tagged(
        request,
        {
            "definitions": [
                {
                    "key": one.key,
                    "kind": one.kind,
                    "name": one.name,
                    "status": one.status.value,
                    "tags": list(one.tags),
                    "updated_at": one.updated_at,
                }
                for one in page
            ],
            "total": len(found),
            "next": page[-1].key if more else None,
        },
    )


async def audit(request: web.Request) -> web.Response:
    """A page of the audit, newest first unless `order` says otherwise."""
    context, given = request.app[CONTEXT], request.query
    order = given.get("order", _ORDERS[0])
    if order not in _ORDERS:
        raise bad_request(f"order is not {order[:80]!r}. {hint(order, _ORDERS)}")
    asked = AuditFilter(
        source=source_asked(request),
        request=given.get("request"),
        actor=given.get("actor"),
        decision=given.get("decision"),
        since=moment_of(request, "since"),
        until=moment_of(request, "until"),
    )
    page_of = newest if order == _ORDERS[0] else oldest
    partition = (Topics(context.settings.prefix).audit, 0)
    limit, cursor = limit_of(request), moment_of(request, "cursor")
    page = await page_of(context.kafka, partition, asked, limit, cursor)
    entries = [_described(context, entry) for entry in page.entries]
    return tagged(request, {"entries": entries, "next": page.next, "end": page.end})


async def list_rejected(request: web.Request) -> web.Response:
    """Counts by reason and topic; samples name users, and need `users.export`."""
    context, samples = request.app[CONTEXT], moment_of(request, "samples") or 0
    if samples > MOST_SAMPLES:
        raise bad_request(f"samples is a number from 0 to {MOST_SAMPLES}")
    if samples:
        require(request, Scope.EXPORT, "without samples the counts need `read` only")
        note(request, "rejected records")
    since = moment_of(request, "since")
    topic = Topics(context.settings.prefix).rejected
    found = (await rejected(context.kafka, topic, since, samples)).facts()
    if samples:
        count(request, len(found["samples"]))
        return json_answer(found)
    return tagged(request, found)


async def settings(request: web.Request) -> web.Response:
    """Every setting; the value of a secret is `(set)` or empty."""
    lines = describe(request.app[CONTEXT].settings, addresses=allowed(request, Scope.OPERATE))
    return tagged(request, {"settings": [asdict(line) for line in lines]})


def _described(context: WorkerContext, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with the name of its source, and with facts that are also words of its reason."""
    state, facts = context.states.get(str(entry["source"])), audit_facts(entry)
    user = context.catalog.get(facts["used_by"] or "")
    facts["used_by_name"] = None if user is None else user.definition.name
    return entry | {"name": None if state is None else state.name, "facts": facts}


_MILLISECONDS = "UTC milliseconds since 1970"

ROUTES = (
    list_route(
        "/definitions",
        definitions,
        "Campaigns, Canvases, segments and Content Cards by name, in pages",
        *("Definitions", "definitions"),
        query("kind", "Definitions of this kind only", enum=list(KEY_KINDS)),
        query("name", "Found anywhere in the name or the key, in any case"),
    ),
    Route(
        method="GET",
        path="/definitions/{key}",
        handler=definition,
        summary="A definition as the workers use it",
        scope=Scope.READ,
        parameters=(
            path(
                "key",
                "`campaign:ID`, `canvas:ID`, `segment:ID` or `content_card:ID`; a campaign or "
                "Canvas as in other calls",
            ),
        ),
        etag=True,
        answers={"application/json": ref("Definition")},
        problems=("unknown_definition", "ambiguous_source", "shards_unavailable"),
    ),
    list_route(
        "/audit",
        audit,
        "Decisions and refusals, each with its reason, in pages",
        *("Audit", "entries"),
        source_query("source", "Decisions on this source only"),
        query("request", "Decisions of this request only"),
        query("actor", "Decisions by this actor only, as `by` has it"),
        query("decision", "This decision only, such as `expired`"),
        moment_parameter("since", f"From this time on: {_MILLISECONDS}"),
        moment_parameter("until", f"Before this time: {_MILLISECONDS}"),
        query("order", "Newest or oldest first", enum=list(_ORDERS), default=_ORDERS[0]),
        cursor=cursor_parameter("; `end` with order=oldest", **MOMENT),
    ),
    Route(
        method="GET",
        path="/rejected",
        handler=list_rejected,
        summary="How many records were rejected lately, by reason and topic",
        scope=Scope.READ,
        note=" Samples need `users.export`.",
        parameters=(
            moment_parameter("since", f"Only those from this time on: {_MILLISECONDS}"),
            query(
                "samples",
                "Most samples of each reason",
                type="integer",
                minimum=0,
                maximum=MOST_SAMPLES,
                default=0,
            ),
        ),
        etag=True,
        answers={"application/json": ref("Rejected")},
        problems=("bad_request", "shards_unavailable"),
    ),
    Route(
        method="GET",
        path="/settings",
        handler=settings,
        summary="Every setting, its value, and where that came from; no secrets",
        scope=Scope.READ,
        etag=True,
        answers={"application/json": ref("Settings")},
    ),
)

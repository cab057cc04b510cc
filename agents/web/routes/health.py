"""GET /healthz, /readyz, /status: whether the worker runs, whether it can answer, and its
figures.
"""

from collections.abc import Mapping
from dataclasses import asdict
from heapq import nlargest
from typing import Any

from aiohttp import web

from agents.coordinator.rules.quarantine import Quarantined
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.http.keys import Scope
from agents.http.problems import Problem
from agents.http.route import Route, ref
from agents.resources.resident import resident_bytes
from agents.scatter.context import CONTEXT, WorkerContext
from agents.shard.phase import ShardPhase
from agents.supervision.shard_manager import Shard, ShardStatus
from agents.views.protocol import ChangingStates
from schemas.records.misspelt import MISSPELT
from schemas.words.plural import numbered

__all__ = ["ROUTES", "awaits", "figures", "healthz", "lag_of", "readyz", "status"]

_UNREADABLE = 20
"""So many definitions that cannot be read are named."""


_STUCK = 50
"""So many sources with stuck work are named."""
MOST_MISSPELT = 50


async def healthz(request: web.Request) -> web.Response:
    """The process runs."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """All assigned actors have recovered, and the sources' states have been read."""
    context = request.app[CONTEXT]
    awaited = awaits(context)
    # it names user and broker: for those with a key, see /status
    refused = ["the brokers refuse this worker: /status says why"] if context.refusal() else []
    if awaited:
        waits = "; ".join([f"Waiting for {', '.join(awaited)}", *refused])
        raise Problem("not_ready", waits, awaited=awaited)
    reasons = ["the keys file cannot be read"] if context.keyring.trouble else []
    # without a key nobody learns the names of files
    if context.tls is not None and context.tls.trouble:
        reasons.append("the certificate of the worker, or a new one, cannot be used")
    if context.peers.trouble:
        reasons.append("the certificate with which other workers are asked cannot be read")
    if context.tls_troubles().get("kafka"):
        reasons.append("the new certificate for Kafka cannot be used")
    reasons += [*refused, *_waiting(context)]
    warned = {"warning": "; ".join(reasons)} if reasons else {}
    return web.json_response({"status": "ready", **warned})


async def status(request: web.Request) -> web.Response:
    """This worker in figures."""
    return web.json_response(figures(request.app[CONTEXT]))


def figures(context: WorkerContext) -> dict[str, Any]:
    """The figures of `Status` in the OpenAPI document."""
    manager = context.manager
    states, read = context.states, context.states.caught_up.is_set()
    awaited = awaits(context)
    return {
        "address": context.address,
        "generation": manager.generation,
        "ready": not awaited,
        "awaited": awaited,
        "coordinator": manager.coordinates,
        "coordinator_address": manager.directory.control or None,
        "partitions": context.settings.partitions,
        "shards": [
            _shard(context, partition, shard) for partition, shard in manager.shards.items()
        ],
        "directory": {str(p): a for p, a in sorted(manager.directory.shards.items())},
        "keys": context.keyring.trouble or None,
        "certificate": _certificate(context),
        "tls": {use: why for use, why in context.tls_troubles().items() if why},
        "broker": context.refusal() or None,
        "memory": {"budget": context.settings.memory_budget, "resident": resident_bytes()},
        "sources": states.counts() if read else {},
        "stuck": _stuck(states) if read else {"count": 0, "first": []},
        "topics": [asdict(problem) for problem in context.topics.findings],
        "sweep": _sweep(context.catalog.sweep),
        "imports": context.imports.found(),
        "unreadable": _unreadable(context.catalog.quarantined),
        "misspelt": [asdict(one) for one in MISSPELT.found()[:MOST_MISSPELT]],
    }


def _certificate(context: WorkerContext) -> dict[str, Any] | None:
    tls = context.tls
    if tls is None:
        return None
    return {"until": tls.until, "trouble": tls.trouble or context.peers.trouble or None}


def _stuck(states: ChangingStates) -> dict[str, Any]:
    """Sources with shards that have not reported in time, those that changed last first."""
    since = states.stuck()
    last = nlargest(_STUCK, since, key=lambda source: (since[source], source))
    found = [one for one in map(states.get, last) if one is not None]
    return {
        "count": len(since),
        "first": [
            {
                "source": one.source,
                "name": one.name,
                "state": one.state.value,
                "shards": list(one.stuck),
                "since": one.updated_at,
            }
            for one in found
        ],
    }


def _sweep(sweep: RetentionSweep) -> dict[str, Any]:
    return {
        "paused": sweep.paused,
        "suspended": sweep.skewed,
        "archive_fault": sweep.archive_fault or None,
        "awaiting": sweep.awaiting,
        "confirm": sweep.question or None,
    }


def _unreadable(quarantined: Mapping[str, Quarantined]) -> dict[str, Any]:
    """The number of definitions that cannot be read, and the reasons for the first of them."""
    first = sorted(quarantined)[:_UNREADABLE]
    return {
        "count": len(quarantined),
        "first": {key: quarantined[key].detail[:200] for key in first},
    }


def awaits(context: WorkerContext) -> list[str]:
    """What the worker is not ready for; empty if it is ready."""
    lost = ["the keys file"] if context.keyring.lost else []
    if context.manager.generation < 0:
        return ["an assignment", *lost]
    shards = context.manager.shards.items()
    awaited = lost if context.manager.in_touch else [*lost, "word from the group"]
    awaited += [f"shard {p}" for p, shard in shards if shard is None or not shard.ready]
    if not context.states.caught_up.is_set():
        awaited.append("the state of the sources")
    if not context.catalog.caught_up.is_set():
        awaited.append("the catalog")
    awaited += [f"topic {problem}" for problem in context.topics.misleading]
    return awaited


def _waiting(context: WorkerContext) -> list[str]:
    """What the ingest of shards waits for, while they answer."""
    why: dict[str, list[int]] = {}
    for partition, shard in context.manager.shards.items():
        if shard is not None and shard.status.waits_for:
            why.setdefault(shard.status.waits_for, []).append(partition)
    return [
        f"ingest of {numbered('shard', sorted(shards))} waits: {reason}"
        for reason, shards in why.items()
    ]


def lag_of(
    context: WorkerContext, partition: int, figures: ShardStatus
) -> tuple[int, float | None]:
    """How many records a shard has still to fold, those of surplus partitions too, and the age of
    the newest folded one in seconds: 0 if all are folded, None if none is.
    """
    behind = figures.events_behind + sum(context.topics.unread(partition).values())
    if not behind:
        return 0, 0.0
    if figures.folded_ms is None:
        return behind, None
    return behind, max(0, context.clock.now_ms() - figures.folded_ms) / 1000


def _shard(context: WorkerContext, partition: int, shard: Shard | None) -> dict[str, Any]:
    figures = ShardStatus(phase=ShardPhase.RECOVERING) if shard is None else shard.status
    unread = context.topics.unread(partition)
    behind, lag_s = lag_of(context, partition, figures)
    described = {"partition": partition, "ready": shard is not None and shard.ready}
    rate = context.pace.rate(partition, figures.events)
    more = {"unread": unread, "cursor_lag": behind, "events_per_s": rate, "lag_s": lag_s}
    return described | asdict(figures) | more


_HEALTHY = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}

ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        handler=healthz,
        summary="Whether the process lives",
        scope=None,
        answers={"application/json": _HEALTHY},
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=readyz,
        summary="Whether the worker has recovered all it holds",
        scope=None,
        answers={"application/json": _HEALTHY},
        problems=("not_ready",),
    ),
    Route(
        method="GET",
        path="/status",
        handler=status,
        summary="This worker in figures",
        scope=Scope.READ,
        work=None,
        answers={"application/json": ref("Status")},
    ),
)

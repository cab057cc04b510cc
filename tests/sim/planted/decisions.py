"""What the coordinator decides and remembers."""

from dataclasses import replace
from typing import Any

from agents.coordinator.rules import (
    command_effects,
    ledger,
    reports,
    retention,
    retention_sweep,
    transitions,
)
from agents.coordinator.rules import reconcile as reconciling
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.reconcile import reconcile
from agents.coordinator.rules.state import CoordinatorState, Source, Why, Work, WorkOrigin
from agents.coordinator.terms import Terms
from schemas.records.lifecycle import Phase, ReportItem, State
from tests.sim.planted.planting import plant, short

__all__: list[str] = []


_worked = reports._worked


def _by_one(
    builder: DecisionBuilder, source: Source, work: Work, partition: int, item: ReportItem
) -> None:
    others = frozenset(range(builder.policy.partitions)) - {partition}
    if item.phase is Phase.RESTORED:
        work = replace(work, reported=others)
    _worked(builder, source, work, partition, item)


plant(
    "a restore that is half visible",
    what="a source is visible when the first shard has brought its part back",
    faulty={(reports, "_worked"): _by_one},
    found=30,
    seed=6,
    plan=short(workers=2, partitions=2, sources=3, questions=5, faults=["log: slow"]),
)


def _at_once(builder: DecisionBuilder, source: Source, origin: WorkOrigin) -> Source:
    return reconcile(builder, replace(source, state=State.UNKNOWN, work=None))


plant(
    "a cancelled expiry shows at once",
    what="an expiry that is cancelled half-way makes its source visible before all is back",
    faulty={(command_effects, "start_restoring"): _at_once},
    found=20,
    seed=1,
    plan=short(partitions=2, commands=12, definitions=16),
)


def _announced(builder: DecisionBuilder, source: Source) -> Source:
    work = transitions._work(source)
    origin = replace(work.origin, why=Why.OPERATOR)
    return _restored(builder, replace(source, work=replace(work, origin=origin)))


_restored = transitions.restored

plant(
    "a cancelled expiry is told as a restore",
    what="an expiry that was cancelled, and never announced, is told as a restore",
    faulty={(transitions, "restored"): _announced},
    found=20,
    seed=2,
    plan=short(commands=12, definitions=16, faults=["log: slow"]),
)


def _no_requests(values: Any, segments_are_roots: bool) -> CoordinatorState:
    kept = {key: value for key, value in values.items() if key[:2] not in ("r/", "t/")}
    return _state(kept, segments_are_roots)


_state = ledger._state

plant(
    "requests are forgotten",
    what="a coordinator that takes over does not know the requests of the one before",
    faulty={(ledger, "_state"): _no_requests},
    found=40,
    seed=11,
    plan=short(commands=40, jumps=1, faults=["crash"]),
)


async def _not_asked(self: Terms) -> None:
    """Takes itself for the owner."""


plant(
    "coordinators that take turns",
    what="a coordinator that has been replaced takes over again, and again",
    faulty={(Terms, "_still_owner"): _not_asked},
    mended="03b6030",
    found=20,
    seed=4,
    plan=short(workers=2, busy_s=60.0, faults=["group silent"]),
)


def _held_by_nobody(plain: dict[str, Any]) -> Source:
    return replace(_source(plain), held=None)


_source = ledger._source

plant(
    "a hold is forgotten",
    what="a coordinator that takes over does not know what is held",
    faulty={(ledger, "_source"): _held_by_nobody},
    found=10,
    seed=0,
    plan=short(commands=16, faults=["crash"]),
)


def _agrees(builder: DecisionBuilder, skew_ms: int | None) -> bool:
    return False


plant(
    "a wrong clock decides",
    what="a coordinator whose clock is a day ahead lets sources expire before they are due",
    faulty={(retention_sweep, "_skewed"): _agrees},
    found=20,
    seed=1,
    plan=short(jumps=0, sources=4, commands=0, faults=["clocks"], settings={"retention": "P1D"}),
)

plant(
    "a cancelled restore counts as an expiry",
    what="what goes back to the archive when its restore is cancelled is told as an expiry",
    faulty={(transitions, "_RETURNS"): frozenset()},
    found=60,
    seed=19,
    plan=short(workers=2, partitions=2, sources=1, commands=20, busy_s=40.0, faults=["freeze"]),
)


def _neither_held_nor_used(source: Source, policy: Policy) -> Source:
    found = _with_own_state(replace(source, held=None, exempt_by=()), policy)
    return replace(found, held=source.held, exempt_by=source.exempt_by)


_with_own_state = retention.with_own_state

plant(
    "what is held expires",
    what="a source expires by its retention although somebody holds it, or uses it",
    faulty={(reconciling, "with_own_state"): _neither_held_nor_used},
    found=20,
    seed=4,
    plan=short(),
)

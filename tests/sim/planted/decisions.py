"""What the coordinator decides and remembers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agents.coordinator import coordinator
from agents.coordinator.records import Item
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
from agents.coordinator.rules.inputs import DefinitionRead, DefinitionUnreadable
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.reconcile import reconcile
from agents.coordinator.rules.state import CoordinatorState, Source, Why, Work, WorkOrigin
from agents.coordinator.terms import Terms
from agents.shard.ownership import Ownership
from schemas.records.lifecycle import Phase, ReportItem, State
from streams.kafka.log import Record, RecordGroup
from tests.sim.log.writer import SimWriter
from tests.sim.planted.planting import plant, short, unasked

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
    found=90,
    seed=6,
    plan=short(workers=2, partitions=2, sources=3, questions=5, faults=["log: slow"]),
)


def _at_once(builder: DecisionBuilder, source: Source, origin: WorkOrigin) -> Source:
    return reconcile(builder, replace(source, state=State.UNKNOWN, work=None))


plant(
    "a cancelled expiry shows at once",
    what="an expiry that is cancelled half-way makes its source visible before all is back",
    faulty={(command_effects, "start_restoring"): _at_once},
    found=30,
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
    found=40,
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
    found=150,
    seed=11,
    plan=short(commands=40, jumps=1, faults=["crash"]),
)


# nor did who begins a term wait for the group then: that alone keeps a former coordinator away now
plant(
    "coordinators that take turns",
    what="a coordinator that has been replaced takes over again, and again",
    faulty={(Terms, "_still_owner"): unasked, (Ownership, "acknowledged"): unasked},
    mended="03b6030",
    found=60,
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
    found=30,
    seed=0,
    plan=short(commands=16, faults=["crash"]),
)


def _agrees(builder: DecisionBuilder, skew_ms: int | None) -> bool:
    return False


plant(
    "a wrong clock decides",
    what="a coordinator whose clock is a day ahead lets sources expire before they are due",
    faulty={(retention_sweep, "_skewed"): _agrees},
    found=30,
    seed=1,
    plan=short(jumps=0, sources=4, commands=0, faults=["clocks"], settings={"retention": "P1D"}),
)

plant(
    "a cancelled restore counts as an expiry",
    what="what goes back to the archive when its restore is cancelled is told as an expiry",
    faulty={(transitions, "_RETURNS"): frozenset()},
    found=240,
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
    found=60,
    seed=4,
    plan=short(),
)


def _readable_key(keys: set[str], item: Item) -> None:
    match item.meaning:
        case DefinitionRead(key=key) if item.meaning.definition is not None:
            keys.add(key)
        case DefinitionRead(key=key) | DefinitionUnreadable(key=key):
            keys.discard(key)


plant(
    "an unreadable definition is a deletion",
    what="at a takeover a definition whose last record cannot be read is taken for deleted",
    faulty={(coordinator, "_note_key"): _readable_key},
    mended="87d42e4",
    found=260,
    seed=20,
    plan=short(definitions=8, sources=2, commands=0, events=10, jumps=1, faults=["crash"]),
)


async def _facts_apart(
    self: SimWriter, records: Sequence[Record], *, groups: Sequence[RecordGroup] = (), **more: Any
) -> list[int]:
    facts = [group for group in groups if group.topic.endswith(("expired", "restored"))]
    rest = [group for group in groups if group not in facts]
    offsets = await _commit(self, records, groups=rest, **more)
    if facts:
        await _commit(self, [], groups=facts)
    return offsets


_commit = SimWriter.commit

plant(
    "facts in a transaction of their own",
    what="the coordinator tells an expiry or a restore after it has decided it, not with that",
    faulty={(SimWriter, "commit"): _facts_apart},
    found=240,
    seed=19,
    plan=short(sources=4, events=20, jumps=10, faults=["crash", "log: slow"]),
)


def _put_off(builder: DecisionBuilder, skew_ms: int | None) -> None:
    if builder.now >= builder.sweep.next_at:
        _tick(builder, skew_ms)


def _until(state: CoordinatorState, now: int, policy: Policy) -> int:
    return max(0, state.sweep.next_at - now)


_tick = retention_sweep.tick

plant(
    "a clock that is set back puts off the sweep",
    what="after a clock was a day ahead nothing expires for a day",
    faulty={(retention_sweep, "tick"): _put_off, (coordinator, "wait_ms"): _until},
    found=120,
    seed=9,
    plan=short(commands=0, sources=4, events=10, faults=["clocks"]),
)

"""What must be true of the coordinator's decisions: compared with what was written to the catalog
and asked on the control topic, without the coordinator's rules.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agents.coordinator.rules import ledger
from agents.coordinator.rules.state import Source
from schemas.records import codec
from schemas.records.lifecycle import HIDDEN, Outcome, SourceState, State, Status
from schemas.records.undecodable import Undecodable
from tests.sim.log.cluster import Takeover
from tests.sim.reached import reached

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["faults"]

_TURNS, _TURNS_S = 3, 15.0
States = Mapping[str, Sequence[SourceState]]
#: How far the clock of a coordinator that decides may be from the brokers', with the time between
#: two comparisons.
_SKEW_MS = 300_000 + 60_000


def faults(
    world: "World", states: States, latest: Mapping[str, SourceState], stored: Collection[str]
) -> list[str]:
    """What is wrong; empty if nothing is. `stored` are the expired sources that have rows."""
    return [
        *_begun(states),
        *_epochs(states),
        *_restores_told(world, latest),
        *_early(world, states),
        *_held(world, latest),
        *_defined(world, latest),
        *_restorable(world, stored),
        *_in_turns(world),
        *world.stale_takeovers,
    ]


def _next(former: SourceState, later: SourceState) -> bool:
    """Whether no version lies between two records."""
    return later.version == former.version + 1


def _begun(states: States) -> list[str]:
    """Only what is stopped, and neither held nor in use, begins to expire."""
    return [
        f"{source} begins to expire at version {later.version}, though it is {former.state}"
        for source, records in states.items()
        for former, later in itertools.pairwise(records)
        if later.state is State.EXPIRING
        and _next(former, later)
        and former.state is not State.RESTORING
        and (former.state is not State.STOPPED or former.held or former.exempt_by)
    ]


def _epochs(states: States) -> list[str]:
    """An expiry counts once for each time that its source was visible."""
    found = []
    for source, records in states.items():
        visible = True  # before its first record
        for former, later in itertools.pairwise(records):
            # it may have been in a version that was not written
            left_out = later.version > former.version + 1
            visible = visible or former.state not in HIDDEN or left_out
            if later.epoch > former.epoch:
                if not visible:
                    found.append(f"{source} expires in epoch {later.epoch}, and was not visible")
                visible = False
    return found


def _restores_told(world: "World", latest: Mapping[str, SourceState]) -> list[str]:
    """The restore of each expiry is told, but for the last one of what is still in the archive."""
    told: dict[str, list[int]] = defaultdict(list)
    for record in world.history.committed(world.kafka, (world.topics.restored, 0)):
        fact: Any = codec.decode(record.value or b"", "restored")
        told[fact["source"]].append(fact["epoch"])
    found = []
    for source, state in latest.items():
        wanted = list(range(1, state.epoch + (state.state not in HIDDEN)))
        if sorted(told[source]) != wanted:
            found.append(f"{source}: restores {sorted(told[source])} are told instead of {wanted}")
    return found


def _early(world: "World", states: States) -> list[str]:
    """Nothing expires by its retention before it is due by the clock of the brokers."""
    due = {(one.source, one.version): one.due_at for records in states.values() for one in records}
    found = []
    for record in world.history.committed(world.kafka, (world.topics.audit, 0)):
        told: Any = codec.decode(record.value or b"", "audit")
        if told["decision"] != "expiring" or told["reason"] != "retention":
            continue
        reached("decision: expires by its retention")
        due_at = due.get((told["source"], told["version"] - 1))
        if due_at is not None and record.stamp_ms < due_at - _SKEW_MS:
            found.append(f"{told['source']} expires {due_at - record.stamp_ms} ms before it is due")
    return found


def _held(world: "World", latest: Mapping[str, SourceState]) -> list[str]:
    """A source is held exactly if the last hold or release of it that was done is a hold."""
    held: dict[str, bool] = {}
    done: set[tuple[str, str]] = set()
    for record in world.history.committed(world.kafka, (world.topics.control_results, 0)):
        result: Any = codec.decode(record.value or b"", "result")
        asked = world.workload.requests.get(result["request_id"])
        if asked is None or asked["dry_run"] or asked["type"] not in ("hold", "unhold"):
            continue
        each = result["request_id"], result["source"]
        # a repeated command is told its results again, and does nothing
        if result["source"] and result["outcome"] == Outcome.COMPLETED and each not in done:
            done.add(each)
            reached(f"decision: {asked['type']}")
            held[result["source"]] = asked["type"] == "hold"
    return [
        f"{source} is held: {state.held is not None}, and its last command was another one"
        for source, state in latest.items()
        if (state.held is not None) is not held.get(source, False)
    ]


def _defined(world: "World", latest: Mapping[str, SourceState]) -> list[str]:
    """A visible source is active exactly if its last readable definition is not stopped; what has
    one is not deleted.
    """
    statuses: dict[str, str | None] = {}
    for record in world.history.committed(world.kafka, (world.topics.catalog, 0)):
        key = (record.key or b"").decode()
        if record.value is None:
            statuses[key] = None
            continue
        with suppress(Undecodable):
            definition: Any = codec.decode(record.value, "definition")
            statuses[key] = definition["status"]
    found = []
    for source, state in latest.items():
        if source not in statuses:
            continue
        status = statuses[source]
        active = status is not None and not Status(status).stopped
        if state.deleted and status is not None:
            found.append(f"{source} counts as deleted, and its definition says {status}")
        elif state.state not in HIDDEN and active is not (state.state is State.ACTIVE):
            found.append(f"{source} is {state.state}, and its definition says {status}")
    return found


def _restorable(world: "World", stored: Collection[str]) -> list[str]:
    """The coordinator knows of every expired source with rows that there is something to restore,
    also if all of them came late.
    """
    known: dict[str, Source] = {}
    for record in world.history.committed(world.kafka, (world.topics.coordinator, 0)):
        key = (record.key or b"").decode()
        if key.startswith("s/"):
            known[key[2:]] = ledger.parsed(key, record.value or b"")
    return [
        f"{source} has rows, and the coordinator would refuse to restore it"
        for source in sorted(stored)
        if not (known[source].archived.segments or known[source].archived.late_interactions)
    ]


def _in_turns(world: "World") -> list[str]:
    """Two workers do not take one thing from each other again and again: who has lost it takes it
    again only in a new generation of the group. Once or twice they may, as a step that fails shows
    nobody who has it now.
    """
    found = []
    by_name: dict[str, list[Takeover]] = defaultdict(list)
    for one in world.kafka.takeovers:
        by_name[one.name].append(one)
    for name, taken in by_name.items():
        had: set[tuple[str, int]] = set()
        again: list[float] = []
        for former, one in itertools.pairwise(taken):
            had.add((former.worker, former.generation))
            if one.worker != former.worker and (one.worker, one.generation) in had:
                again.append(one.at_s)
        for times in zip(*(again[at:] for at in range(_TURNS)), strict=False):
            if times[-1] - times[0] < _TURNS_S:
                found.append(
                    f"two workers take {name} from each other, {_TURNS} times in a generation that "
                    f"they have had it in, from {times[0]:.1f} s on"
                )
    return found

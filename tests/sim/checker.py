"""What must be true when a run is over: compared with the history of the log, source by source."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from agents.shard.shard import Shard
from agents.tools.oracle import Interactions, refusal
from agents.users.partition import partition_of_user
from agents.views.state_view import StateView
from schemas.records import codec
from schemas.records.lifecycle import HIDDEN, WORKING, Outcome, SourceState
from schemas.segment.codec import decode
from schemas.tables.interaction import KEY
from schemas.tables.profile import PROFILE
from streams.state.archive import ArchiveDamage
from tests.sim import decisions
from tests.sim.reached import reached
from tests.sim.truth import ShardTruth, truths
from tests.sim.workload import DAY_MS

if TYPE_CHECKING:
    from tests.sim.worker import Process
    from tests.sim.world import World

__all__ = ["Violation", "check", "pending"]


#: A finished request is forgotten after 30 days, by a clock that may be a day ahead.
FORGOTTEN_DAYS = 28


#: The name of a shard's task begins with it.
_SHARD = "shard "
#: Until shards have applied what they have committed, in virtual time.
_LOOKS = 20
_LOOK_S = 0.5


class Violation(AssertionError):
    """A promise is broken."""


def pending(world: "World") -> list[str]:
    """What has not come to its end; empty once a healed world is quiet."""
    found: list[str] = []
    shards: dict[int, Shard] = {}
    coordinators = 0
    for slot in world.slots:
        process = slot.process
        if process is None or not process.runs:
            found.append(f"{slot.name} does not run")
            continue
        manager, context = process.member.manager, process.member.context
        coordinators += manager.coordinates
        if not manager.ready or not manager.in_touch:
            found.append(f"{process.name} is not ready")
        if manager.generation != world.group.generation:
            found.append(f"{process.name} is of generation {manager.generation}")
        for partition, shard in manager.shards.items():
            if shard is None or partition in shards:
                found.append(f"shard {partition} runs twice, or not")
            else:
                shards[partition] = shard  # type: ignore[assignment]
        for topic, position in (
            (world.topics.state, context.states.position),
            (world.topics.coordinator, context.requests.position),
        ):
            if position < world.kafka.log((topic, 0)).stable:
                found.append(f"{process.name} has read {topic} up to {position}")
    if coordinators != 1:
        found.append(f"{coordinators} coordinators")
    if set(shards) != set(range(world.plan.partitions)):
        found.append(f"only the shards {sorted(shards)} run")
    for partition, shard in shards.items():
        lag = {topic: behind for topic, behind in shard.status.lag.items() if behind}
        if lag or not shard.ready:
            found.append(f"shard {partition} lags: {lag}")
    found += _left_over(world)
    process = next(iter(world.running()), None)
    if process is not None:
        found += _erasing(world, process)
        sweep = process.member.context.catalog.sweep
        sweeps = not (sweep.paused or sweep.question)
        for record in process.member.context.states:
            if record.state in WORKING:
                found.append(f"{record.source} is {record.state}")
            if sweeps and record.due_at is not None and record.due_at < world.clock.now_ms():
                found.append(f"{record.source} is due")
        taken = process.member.context.catalog.taken_in
        for topic in (world.topics.catalog, world.topics.control, world.topics.shard_reports):
            end = world.kafka.log((topic, 0)).stable
            if taken.get(topic, 0) < end and _has_records(world, topic, taken.get(topic, 0)):
                found.append(f"the coordinator has taken in {topic} up to {taken.get(topic)}")
    return found


def _erasing(world: "World", process: "Process") -> list[str]:
    """Requests that erase users and are still under way, though nobody holds a source."""
    states = process.member.context.states
    assert isinstance(states, StateView)
    asked = [one for one in world.people.erased if states.erasures.open(one)]
    if not any(record.held for record in states):
        return [f"{one} still erases users" for one in asked]
    hidden = {one: states.erasures.receipt(one) for one in asked}
    return [
        f"{one} has not hidden its users"
        for one, receipt in hidden.items()
        if receipt is None or not all(part.masked_at for part in receipt.parts.values())
    ]


def _left_over(world: "World") -> list[str]:
    """Shards that run where they are not assigned any more."""
    assigned = {one.name: one.member.manager.shards for one in world.running()}
    running = ((getattr(task, "worker", None), task.get_name()) for task in asyncio.all_tasks())
    return [
        f"{worker} runs {name}, which is not assigned to it"
        for worker, name in running
        if worker in assigned
        and name.startswith(_SHARD)
        and int(name.removeprefix(_SHARD)) not in assigned[worker]
    ]


def _has_records(world: "World", topic: str, since: int) -> bool:
    return any(one.offset >= since for one in world.history.committed(world.kafka, (topic, 0)))


async def check(world: "World") -> None:
    """Raises Violation. The world must be healed and quiet."""
    shards = _shards(world)
    found = await _still(world, shards)
    told = states_told(world)
    states = {source: [state for _, state in records] for source, records in told.items()}
    latest = {source: records[-1] for source, records in states.items()}
    stored: set[str] = set()
    for truth in found:
        stored |= await _rows(world, truth, shards[truth.partition], latest)
    _handed_on(world)
    _versions(states)
    _facts(world, latest)
    if wrong := decisions.faults(world, states, latest, stored):
        raise Violation("; ".join(wrong[:3]))
    _requests(world)
    _erased(world, found)
    if wrong := world.questions.wrong(found, told):
        raise Violation(f"{len(wrong)} answers were wrong. " + wrong[0])


async def _still(world: "World", shards: dict[int, Shard]) -> list[ShardTruth]:
    """The truth at a moment at which no shard is between a commit and its own table: a step may
    come in the quiet too, as a cursor moves past the markers of transactions.
    """
    for _ in range(_LOOKS):
        found = truths(world)
        behind = [
            truth.partition
            for truth in found
            if truth.moments[-1].cursor != shards[truth.partition]._store.table.cursor
        ]
        if not behind:
            return found
        await asyncio.sleep(_LOOK_S)
    raise Violation(f"shards {behind}: another cursor than their changelog has")


def _shards(world: "World") -> dict[int, Shard]:
    return {
        partition: shard
        for process in world.running()
        for partition, shard in process.member.manager.shards.items()
        if isinstance(shard, Shard)
    }


async def _rows(
    world: "World", truth: ShardTruth, shard: Shard, latest: dict[str, SourceState]
) -> set[str]:
    """Row for row: hot and archived rows together are what the events make; a visible source has
    all of them hot, an expired one at most late rows. Returns the expired sources that have any.
    """
    expired: set[str] = set()
    last = len(truth.moments) - 1
    store = shard._store
    ends = {event.topic: event.offset for event in truth.everything}
    for topic, offset in ends.items():
        if store.table.cursor.get(topic, 0) <= offset:
            raise Violation(f"shard {truth.partition}: {topic} is not folded up to its end")
    expected = truth.rows(last)
    left_out = set(truth.doubtful)
    if store.table.erasures:
        # somebody's hold keeps rows of erased users
        left_out |= truth.identities.absences.keys()
        reached("check: a hold keeps rows of erased users")
    expected = _without(left_out, expected)
    pinned = await store.pin()
    hot: Interactions = {}
    for frame in pinned.deltas:
        _fold(hot, frame)
    wide = _derived(hot)
    for index in pinned.segments.values():
        _fold(hot, decode(pinned.bytes_of(index)))
    hot = _without(left_out, hot)
    for key, span in hot.items():
        if key[0] == PROFILE:
            _add(wide, key, span)
    wanted_wide = _without(left_out, truth.wide(last))
    _same(f"shard {truth.partition}, profile-wide", _without(left_out, wide), wanted_wide)
    archived: dict[str, Interactions] = defaultdict(dict)
    for source, entries in store.table.manifest.items():
        async for found in shard._context.archive.read(dict(entries)):
            if isinstance(found, ArchiveDamage):
                raise Violation(f"{source} is damaged at {found.place}: {found.what}")
            _fold(archived[source], decode(found.data))
        archived[source] = _without(left_out, archived[source])
    sources = ({key[0] for key in (*expected, *hot)} | archived.keys()) - {PROFILE}
    for source in sorted(sources):
        wanted = _of(expected, source)
        here = _of(hot, source)
        state = latest.get(source)
        hidden = state is not None and state.state in HIDDEN
        both = dict(here)
        for key, span in archived[source].items():
            known = both.get(key, span)
            both[key] = (min(known[0], span[0]), max(known[1], span[1]))
        what = f"shard {truth.partition}, {source} ({state.state if state else 'no state'})"
        _same(f"{what}: hot and archive", both, wanted)
        if hidden:
            reached("check: expired source")
            expired |= {source} if both else set()
            if here:
                reached("check: late rows of an expired source")
        else:
            _same(f"{what}: hot", here, wanted)
            if archived[source]:
                reached("check: restored source")
    return expired


def _fold(rows: Interactions, frame: Any) -> None:
    for *key, first, last in frame.select(*KEY, "first", "last").iter_rows():
        _add(rows, tuple(key), (first, last))


def _add(rows: Interactions, key: Any, span: tuple[int, int]) -> None:
    known = rows.get(key, span)
    rows[key] = (min(known[0], span[0]), max(known[1], span[1]))


def _derived(recent: Interactions) -> Interactions:
    """The profile-wide rows of rows that have not been flushed."""
    wide: Interactions = {}
    for (source, user, kind, channel, _, _, detail), span in recent.items():
        if source != PROFILE:
            origin = source.partition(":")[0]
            _add(wide, (PROFILE, user, kind, channel, origin, None, detail), span)
    return wide


def _without(users: Collection[str], rows: Interactions) -> Interactions:
    if not users:
        return rows
    return {key: span for key, span in rows.items() if key[1] not in users}


def _of(rows: Interactions, source: str) -> Interactions:
    return {key: span for key, span in rows.items() if key[0] == source}


def _same(what: str, found: Interactions, wanted: Interactions) -> None:
    if found == wanted:
        return
    missing = sorted((wanted.keys() - found.keys()), key=repr)[:3]
    strange = sorted((found.keys() - wanted.keys()), key=repr)[:3]
    other = [k for k in found.keys() & wanted.keys() if found[k] != wanted[k]][:3]
    raise Violation(
        f"{what}: {len(found)} rows instead of {len(wanted)}; missing {missing}, "
        f"too many {strange}, other times {[(k, found[k], wanted[k]) for k in other]}"
    )


def _handed_on(world: "World") -> None:
    """Each event that counts and stands in the wrong partition is handed on once."""
    count = world.plan.partitions
    for target in range(count):
        wanted: Counter[bytes] = Counter()
        for partition in set(range(count)) - {target}:
            wanted += _users_for(world, partition, target)
            for topic in world.topics.events.values():
                for record in world.history.committed(world.kafka, (topic, partition)):
                    meaning = world.workload.meanings.get(record.value or b"")
                    if meaning is None or refusal(meaning[1], record.stamp_ms) is not None:
                        continue
                    if partition_of_user(meaning[1]["user_id"], count) == target:
                        wanted[record.value or b""] += 1
        found: Counter[bytes] = Counter()
        for record in world.history.committed(world.kafka, (world.topics.repartition, target)):
            found[record.value or b""] += 1
        if found != wanted:
            raise Violation(
                f"of the events for shard {target} {(wanted - found).total()} are not handed on, "
                f"and {(found - wanted).total()} too often"
            )


def _users_for(world: "World", partition: int, target: int) -> Counter[bytes]:
    """The records of users of a shard in a partition that is not its own."""
    return Counter(
        record.value or b""
        for record in world.history.committed(world.kafka, (world.topics.users, partition))
        if (record.value is None or record.value in world.people.records)
        and partition_of_user((record.key or b"").decode(), world.plan.partitions) == target
    )


def states_told(world: "World") -> dict[str, list[tuple[int, SourceState]]]:
    """All records of `lifecycle.state` by source, in order, with their offsets."""
    found: dict[str, list[tuple[int, SourceState]]] = defaultdict(list)
    for record in world.history.committed(world.kafka, (world.topics.state, 0)):
        value: Any = codec.decode(record.value or b"", "state")
        state = SourceState.from_record(value)
        found[state.source].append((record.offset, state))
    return found


def _versions(states: dict[str, list[SourceState]]) -> None:
    """Versions and epochs never go back; one version has one state."""
    for source, records in states.items():
        for former, later in itertools.pairwise(records):
            if later.version < former.version or later.epoch < former.epoch:
                raise Violation(
                    f"{source}: version {later.version} of epoch {later.epoch} after "
                    f"{former.version} of {former.epoch}"
                )
            if later.version == former.version and later.state is not former.state:
                raise Violation(f"{source}: version {later.version} has two states")


def _facts(world: "World", latest: dict[str, SourceState]) -> None:
    """Every expiry and every restore is told once."""
    expired = _told(world, world.topics.expired, "expired")
    restored = _told(world, world.topics.restored, "restored")
    for what, found in (("expired", expired), ("restored", restored)):
        twice = [key for key, count in Counter(found).items() if count > 1]
        if twice:
            raise Violation(f"{what} is told twice: {twice}")
        if found:
            reached(f"fact: {what}")
    for source, state in latest.items():
        epochs = sorted(epoch for name, epoch in expired if name == source)
        wanted = list(range(1, state.epoch + 1))
        if epochs != wanted:
            raise Violation(f"{source}: expiries {epochs} are told instead of {wanted}")
    strange = [one for one in restored if one not in expired]
    if strange:
        raise Violation(f"restored and never expired: {strange}")


def _told(world: "World", topic: str, schema: str) -> list[tuple[str, int]]:
    found = []
    for record in world.history.committed(world.kafka, (topic, 0)):
        fact: Any = codec.decode(record.value or b"", schema)
        found.append((fact["source"], fact["epoch"]))
    return found


def _held(world: "World") -> bool:
    """Whether anything is held: then requests that erase users may stay open."""
    return any(record.held for one in world.running() for record in one.member.context.states)


def _erased(world: "World", truths: Collection[ShardTruth]) -> None:
    """Every shard has hidden the users of every request that was completed."""
    done = set()
    for record in world.history.committed(world.kafka, (world.topics.control_results, 0)):
        result: Any = codec.decode(record.value or b"", "result")
        if result["outcome"] == Outcome.COMPLETED:
            done.add(result["request_id"])
    for name, users in world.people.erased.items():
        if name not in done or world.workload.requests[name]["dry_run"]:
            continue
        reached("check: users erased")
        for truth in truths:
            mine = [u for u in users if partition_of_user(u, len(truths)) == truth.partition]
            if mine and all(moment.request != name for moment in truth.moments):
                raise Violation(f"{name} is completed, and shard {truth.partition} hides nobody")


def _requests(world: "World") -> None:
    """Every request has one outcome as a whole, and one for each source that was accepted."""
    results: dict[tuple[str, str | None], list[tuple[int, str, str | None]]] = defaultdict(list)
    for record in world.history.committed(world.kafka, (world.topics.control_results, 0)):
        result: Any = codec.decode(record.value or b"", "result")
        outcome = result["time"], result["outcome"], result["code"]
        results[result["request_id"], result["source"]].append(outcome)
    asked = {
        meant["request_id"]
        for record in world.history.committed(world.kafka, (world.topics.control, 0))
        for meant in [world.workload.commands.get(record.value or b"")]
        if meant is not None
    }
    for name in sorted(asked):
        if (name, None) not in results:
            raise Violation(f"{name} has no answer")
    for (name, source), outcomes in results.items():
        final = sorted({outcome for outcome in outcomes if Outcome(outcome[1]).final})
        if not final and not (name in world.people.erased and _held(world)):
            raise Violation(f"{name} of {source} has not ended: {outcomes}")
        for former, later in itertools.pairwise(final):
            # one that is repeated when it was forgotten is another request
            if later[1:] != former[1:] and later[0] - former[0] < FORGOTTEN_DAYS * DAY_MS:
                raise Violation(f"{name} of {source} ended in several ways: {final}")

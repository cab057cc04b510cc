"""What a shard does with sources that expire and come back, and with what it keeps."""

from collections.abc import Iterable
from dataclasses import replace

from agents.resources.budget import Budget
from agents.shard.analytics import Rows, unique_users
from agents.shard.ingest_step import StepMaker
from agents.shard.jobs import compact, expire
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.expire import Expire
from agents.shard.jobs.loop import Versions, WorkLoop
from agents.shard.jobs.restore import Restore
from agents.shard.shard import Shard
from schemas.decode.ingest import Ingested
from schemas.decode.users import TakenUsers
from schemas.records.lifecycle import State
from streams.kafka.log import RecordGroup
from streams.kafka.purge import Purge
from streams.kafka.topics import Topics
from streams.state.store import PinnedShard, Step, Store
from tests.sim.planted.planting import plant, short

__all__: list[str] = []


async def _half_copied(self: Expire) -> bool:
    """The last segment of what is to be copied is left out."""
    if self._uncopied is not None and len(self._uncopied) == 1 and len(self._unverified) > 1:
        del self._unverified[-1]
        self._uncopied.clear()
        return False
    return await _copy(self)


_copy = Expire._copy

plant(
    "a segment not copied",
    what="an expiry drops a segment that it has not copied to the archive",
    faulty={(Expire, "_copy"): _half_copied},
    found=30,
    seed=0,
    plan=short(),
)


async def _half_restored(self: Restore) -> bool:
    if len(self._missing) == 1 and len(self._entries) > 0:
        self._missing.clear()
        await self.close()
    return await _restore_step(self)


_restore_step = Restore.step

plant(
    "a segment not restored",
    what="a restore reports that all is back while a segment is missing",
    faulty={(Restore, "step"): _half_restored},
    found=30,
    seed=0,
    plan=short(),
)


async def _drops_all(self: Expire) -> bool:
    for source in self._undropped:
        self._segments()[source] = self._table.own_segments(source)
    return await _drop(self)


_drop = Expire._drop

plant(
    "late rows are dropped",
    what="an expiry drops what has come since it copied",
    faulty={(Expire, "_drop"): _drops_all},
    found=30,
    seed=1,
    plan=short(events=150, definitions=20, faults=["log: slow"], settings={"late_rows": 50}),
)


def _any_other_version(self: WorkLoop, state: State) -> Versions:
    applied = self._context.store.table.applied
    return {
        record.source: (record.version, record.epoch)
        for record in self._context.view.in_states([state])
        if (done := applied.get(record.source)) is None or done.version != record.version
    }


plant(
    "work by a view that is behind",
    what="a shard carries out again what it has carried out long ago, as its view is behind",
    faulty={(WorkLoop, "_pending"): _any_other_version},
    found=50,
    seed=3,
    plan=short(
        sources=1,
        commands=16,
        definitions=16,
        jumps=8,
        busy_s=40.0,
        faults=["crash", "views behind"],
    ),
)


async def _window_lost(context: ShardContext) -> bool:
    chosen = compact.window_merge(context.store.table.window)
    if chosen:
        await context.store.commit(Step(puts=[(key, None) for key in chosen[:-1]]))
    return bool(chosen)


plant(
    "event ids lost in a merge",
    what="the hashes of event ids are lost when their entries are put together",
    faulty={
        (compact, "_compact_window"): _window_lost,
        (compact, "_WINDOW_ENTRIES"): 5,  # a run has too few of them otherwise
    },
    found=30,
    seed=5,
    plan=short(events=100, commands=0, definitions=4, users=2, faults=["crash"]),
)


def _unheard(self: StepMaker, sources: Iterable[str]) -> dict[str, int]:
    return {}


plant(
    "late rows that nobody hears of",
    what="an expired source of which nothing was archived cannot be restored, though rows came",
    faulty={(StepMaker, "_late_unreported"): _unheard},
    mended="dea3c26",
    found=30,
    seed=1,
    plan=short(
        events=40, sources=6, definitions=30, jumps=10, commands=2, settings={"late_rows": 50}
    ),
)


def _only_closed(self: WorkLoop) -> None:
    table, budget = self._context.store.table, self._budget
    if table.delta_rows >= budget.delta_rows_full:
        self.room.clear()
        self.wake()


plant(
    "the room that is never set",
    what="an ingest that waits for a flush is not told that there is room again",
    faulty={
        (WorkLoop, "check_room"): _only_closed,
        # ingest of a run is seldom so far ahead of the flushes
        (Budget, "delta_rows_full"): property(lambda budget: budget.delta_rows),
    },
    mended="d73b679",
    found=90,
    seed=6,
    plan=short(events=100, users=20, settings={"delta_rows": 10}),
)


def _below_what_is_read(self: Shard) -> Purge:
    context, ingest = self._context, self._ingest
    partition = Topics(context.settings.prefix).repartition, context.partition

    def read_up_to() -> int | None:
        return None if ingest._reader is None else ingest._reader.position(partition)

    return Purge(context.kafka, partition, read_up_to)


plant(
    "the emptied repartition",
    what="events on their way to their shard are deleted before they are taken in",
    faulty={(Shard, "_purge"): _below_what_is_read},
    mended="8490036",
    found=30,
    seed=1,
    plan=short(
        partitions=2,
        events=200,
        definitions=2,
        commands=0,
        faults=["short purges", "crash", "log: slow"],
    ),
)


def _kept_here(self: StepMaker, taken: Ingested | TakenUsers) -> list[RecordGroup]:
    return []


plant(
    "events for another shard are lost",
    what="an event that its producer has put into a wrong partition does not reach its shard",
    faulty={(StepMaker, "_forwards"): _kept_here},
    mended="eee8f44",
    found=30,
    seed=0,
    plan=short(partitions=2, commands=0, definitions=2, jumps=1),
)


async def _in_two(self: Store, step: Step) -> None:
    groups, step.groups = step.groups, []
    await _commit(self, step)
    if groups:
        await _commit(self, Step(groups=groups))


_commit = Store.commit

plant(
    "a step in two transactions",
    what="what a shard hands on and rejects is written after its cursor, in another transaction",
    faulty={(Store, "commit"): _in_two},
    found=30,
    seed=0,
    plan=short(
        partitions=2,
        events=120,
        commands=0,
        definitions=2,
        faults=["log: failed_step"],
    ),
)


def _users_of_what_goes(pinned: PinnedShard, source: str) -> Rows:
    own = [
        one for one in pinned.by_source.get(source, ()) if len(pinned.segments[one].sources) == 1
    ]
    less = replace(pinned, deltas=(), by_source={source: tuple(own)})
    return unique_users(less, source)


plant(
    "numbers of users of no moment",
    what="an expiry counts the users of what it moves, and leaves out those of late rows",
    faulty={(expire, "unique_users"): _users_of_what_goes},
    found=50,
    seed=3,
    plan=short(
        events=200,
        commands=12,
        definitions=16,
        jumps=12,
        users=20,
        sources=4,
        busy_s=40.0,
        faults=["log: late_markers", "disk"],
        settings={"own_rows": 10},
    ),
)

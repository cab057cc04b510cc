"""Who was erased, who has come back, and who has become whom."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

import polars as pl

from agents.audience import audience
from agents.scatter import people
from agents.scatter.context import WorkerContext
from agents.scatter.merge_map import NO_MEMBERS_HERE, MembersOfShard, PlacedPersons
from agents.scatter.merges import persons_now
from agents.shard import users
from agents.shard.intake import DecodedPart, Intake, LaidOutPart
from agents.shard.jobs import loop, pass_rests
from agents.shard.jobs.context import ShardContext
from schemas.segment.index import SegmentIndex
from schemas.tables.counts import FEED_VIEWS
from schemas.tables.erased import NEVER, NO_MASK, ErasedUser, Mask
from streams.state.hot_table import HotTable
from tests.sim.planted.planting import plant, short

__all__: list[str] = []

_people = partial(short, users=4, erasures=5, user_records=20, person_questions=20)


def _none_dirty(context: ShardContext, sources: Collection[str]) -> set[str]:
    return set()


def _passed(self: HotTable, index: SegmentIndex) -> bool:
    return False


plant(
    "a restore that brings back an erased user",
    what="what a restore copies from the archive has not passed the mask, and nobody looks",
    faulty={
        (loop, "dirty_sources"): _none_dirty,
        (HotTable, "_unmasked"): _passed,
        # else the archive is clean before most restores
        (pass_rests, "FIRST"): 400.0,
        (pass_rests, "MOST"): 400.0,
    },
    found=40,
    seed=2,
    plan=_people(
        users=20,
        events=150,
        definitions=20,
        commands=30,
        jumps=12,
        questions=20,
        erasures=8,
        user_records=0,
        person_questions=0,
    ),
)


def _unmasked(self: Intake, decoded: DecodedPart, direct_rows: int) -> LaidOutPart:
    table = self._context.store.table
    mask, table.mask = table.mask, NO_MASK
    try:
        laid = _lay_out(self, decoded, direct_rows)
    finally:
        table.mask = mask
    return replace(laid, mask_version=mask.version)


_lay_out = Intake.lay_out

plant(
    "a late event of an erased user",
    what="events that come after an erasure of their user are stored and shown",
    faulty={(Intake, "lay_out"): _unmasked},
    found=30,
    seed=1,
    plan=_people(user_records=0),
)


def _all_back(self: Mask, frame: pl.DataFrame) -> pl.DataFrame:
    gone = [user for user, one in self.among(frame["user"]).items() if one.returned_at == NEVER]
    return frame.filter(~pl.col("user").is_in(gone)) if gone else frame


plant(
    "a return that brings back what was before",
    what="old events of an erased user count again once the user has come back",
    faulty={(Mask, "rows"): _all_back},
    found=30,
    seed=0,
    plan=_people(events=150, user_records=40),
)


def _never(self: Mask, times: pl.DataFrame) -> list[ErasedUser]:
    return []


plant(
    "nobody comes back",
    what="a user who was erased and has come back on purpose stays erased",
    faulty={(Mask, "returned"): _never},
    found=30,
    seed=2,
    plan=_people(user_records=40),
)


def _members_of_one(self: PlacedPersons, shard: int) -> MembersOfShard:
    return self.shards.get(shard, NO_MEMBERS_HERE) if shard == 0 else NO_MEMBERS_HERE


plant(
    "a merge that another shard has not heard of",
    what="a shard takes a user whose merge lies in another shard for a person of its own",
    faulty={(PlacedPersons, "of"): _members_of_one},
    found=30,
    seed=0,
    plan=_people(partitions=2, erasures=0),
)


async def _asked_once(context: WorkerContext) -> PlacedPersons:
    known = context.merges._made[1]
    return known if len(known.persons) else await persons_now(context)


plant(
    "merges that are asked once",
    what="a worker that knows merges does not ask whether they are still the same",
    faulty={(audience, "persons_now"): _asked_once, (people, "persons_now"): _asked_once},
    found=30,
    seed=0,
    plan=_people(erasures=0),
)


def _of_nobody_too(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.filter(pl.col("source") == FEED_VIEWS).select("user", "count")


plant(
    "feed views of nobody",
    what="profiles fail once a user is erased who has viewed the feed",
    faulty={(users, "feed_views_of"): _of_nobody_too},
    found=30,
    seed=1,
    plan=_people(user_records=0),
)

"""One shard's part of an audience: pinned at one moment, evaluated slice by slice in threads."""

import asyncio
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import polars as pl

from agents.filters.evaluation import Look, evaluate, examine
from agents.filters.plan_nodes import FilterPlan
from agents.resources.scheduler import Scheduler
from agents.shard.agreement import check_held, check_owned
from agents.shard.audience_part import AudiencePart, Members
from agents.shard.jobs.context import ShardContext
from agents.shard.slices import Slice, slices
from agents.shard.user_list import Everybody, UserList
from streams.state.store import PinnedShard

__all__ = ["Audiences"]

#: For evaluations alone, so that however many wait, ingest and its commits find a thread.
_THREADS = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="audience")
#: One at a time, in the order of their pins: while the users of one shard are brought up to
#: date, those of the one before are evaluated.
_USER_LISTS = ThreadPoolExecutor(1, thread_name_prefix="user-list")
#: So often users who came are taken in, so that a question has few of them to wait for; and so
#: long an ingest that catches up puts that off.
_FRESHEN_S = 1.0
_DEFER_S = 10.0


@dataclass
class Audiences:
    """Answers of one shard. Keeps the list of its users between queries."""

    context: ShardContext
    scheduler: Scheduler
    _user_list: UserList = field(default_factory=UserList)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep_fresh(self) -> None:
        """After the first query, adds new users to the list as they come. Runs until cancelled."""
        await self._asked.wait()
        store, seen = self.context.store, -1
        while True:
            await asyncio.sleep(_FRESHEN_S)
            if store.steps == seen or not self.scheduler.keeping_up(_DEFER_S):
                continue
            seen = store.steps
            async with self._turn:
                updating = self._updating(await store.pin())
            await updating

    async def find(self, plan: FilterPlan, members: Members) -> AsyncGenerator[AudiencePart, None]:
        """Pin the shard; the result then yields the matching users in ascending order, and what the
        plan asks of the members, unaffected by later changes.

        Raises `NotHeld` if the shard does not hold exactly the versions that `plan` pins.
        """
        self._asked.set()
        async with self._turn:
            self._check(plan)
            pinned = await self.context.store.pin()
            # Other versions, or another owner, may have come while the pin was waited for.
            self._check(plan)
            updating = self._updating(pinned)
        return self._found(plan, members, pinned, updating)

    def _updating(self, pinned: PinnedShard) -> asyncio.Future[Everybody]:
        """The user list as of a pin, as a future. The caller must call this before the next pin is
        made.
        """
        updating = asyncio.get_running_loop().run_in_executor(
            _USER_LISTS, self._user_list.of, pinned
        )
        # Who wanted to know may have gone.
        updating.add_done_callback(lambda done: done.cancelled() or done.exception())
        return updating

    async def _found(
        self,
        plan: FilterPlan,
        members: Members,
        pinned: PinnedShard,
        updating: asyncio.Future[Everybody],
    ) -> AsyncGenerator[AudiencePart, None]:
        loop = asyncio.get_running_loop()
        with self.scheduler.asking():
            # Not to be cancelled with who waits: the next pin builds on this one.
            everybody = await asyncio.shield(updating)
        among = everybody.members(members.users)
        if not among.height:
            looks: tuple[Look | None, ...] = (None,)
        else:
            looks = (Look.MEMBERS, Look.OTHERS) if members.first else (Look.ALL,)
        for look in looks:
            for part in slices(pinned, everybody):
                with self.scheduler.asking():
                    found = await loop.run_in_executor(
                        _THREADS, _evaluated, plan, part, among, look
                    )
                for each in found:
                    yield each

    def _check(self, plan: FilterPlan) -> None:
        check_owned(self.context)
        for source, version in plan.pins.items():
            check_held(self.context, source, version)


def _evaluated(
    plan: FilterPlan, part: Slice, members: pl.DataFrame, look: Look | None
) -> list[AudiencePart]:
    """The slice's parts that are not empty; findings come first."""
    theirs = part.among(members)
    if look is None or (look is not Look.MEMBERS and not theirs.height):
        users = evaluate(plan, part)
        return [AudiencePart(users)] if len(users) else []
    if not theirs.height:
        return []
    users, findings = examine(plan, part, theirs, look)
    found = [AudiencePart(findings=findings)] if findings.height else []
    return [*found, AudiencePart(users)] if len(users) else found

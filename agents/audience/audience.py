"""An audience over all shards: one query, one generation, all shards or none."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self

import polars as pl

from agents.audience.ascending import ascending
from agents.audience.live_plan_facts import LivePlanFacts
from agents.filters.combining import matching
from agents.filters.errors import FilterError
from agents.filters.nodes import Node
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from agents.filters.refusals import OnExpired, Refused
from agents.http.problems import Problem
from agents.scatter.audience_query import MOST_MEMBER_BYTES, AudienceItem, AudienceQuery
from agents.scatter.context import WorkerContext
from agents.scatter.gatherer import Gatherer
from agents.scatter.merge_map import PlacedPersons
from agents.scatter.merges import persons_now
from agents.scatter.query import StreamQuery
from agents.supervision.shard_manager import NotHeld
from schemas.errors import Fatal, UsageError
from streams.metrics import names

__all__ = ["Audience", "Question", "RefusedAnswer", "outcome"]


class RefusedAnswer(Fatal):
    """The filter is valid and cannot be answered now: `refused` says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed filter, the one moment its durations are counted back from (UTC milliseconds),
    and what to do about hidden data."""

    node: Node
    now_ms: int
    on_expired: OnExpired = OnExpired.REFUSE


class Audience(Gatherer[AudienceItem]):
    """The matching users of all shards: series of users, each shard's in ascending order.

    Entering the context plans the filter. It raises RefusedAnswer, FilterError (a range that is
    empty at this `now`, or too many sources or merges) and Unavailable. `plan` and `persons` are
    set after entering.

    A person who has several ids counts once, with all rows, under the id that the merges lead to.
    Merges are those of a moment just before the shards are pinned; a merge that comes in between
    counts in the next answer. See docs/merged-users.md.
    """

    def __init__(
        self, context: WorkerContext, question: Question, *, ordered: bool = False
    ) -> None:
        """With `ordered`, `ascending` may be called, which reads the rows of members first."""
        super().__init__(context)
        self._question = question
        self.ordered = ordered
        self.plan: FilterPlan
        self.persons = PlacedPersons()
        self._began = 0.0

    async def __aenter__(self) -> Self:
        self._began = self._context.clock.monotonic_s()
        try:
            return await super().__aenter__()
        except BaseException as error:
            self._measure(error)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._measure(error)

    def _measure(self, error: BaseException | None) -> None:
        context = self._context
        passed = context.clock.monotonic_s() - self._began
        context.meters.observe(names.AUDIENCE_TIME, passed, outcome(error))

    def query(self) -> AudienceQuery:
        """The plan as of now; see the class for what it raises."""
        context, question = self._context, self._question
        if not (context.states.caught_up.is_set() and context.catalog.caught_up.is_set()):
            raise NotHeld("this worker has not read sources and definitions yet")
        plan_facts = LivePlanFacts(context.states, context.catalog)
        found = plan(
            question.node, plan_facts, now_ms=question.now_ms, on_expired=question.on_expired
        )
        if isinstance(found, Refused):
            raise RefusedAnswer(found)
        self.plan = found
        # Also if all shards are here: an answer does not depend on the assignment.
        return AudienceQuery.of(found)

    async def queries(self) -> list[tuple[int, StreamQuery[AudienceItem]]]:
        """The plan, and for each shard its members, as of now."""
        query = self.query()
        placed = self.persons = await persons_now(self._context)
        shards = range(self._context.settings.partitions)
        if not len(placed.persons):
            return [(shard, query) for shard in shards]
        if any(len(each.encoded) > MOST_MEMBER_BYTES for each in placed.shards.values()):
            raise FilterError(
                "$",
                "too_large",
                f"{len(placed.persons):,} users take part in merges, too many for one shard",
                remedy="Use more partitions, or take merges back that are not needed",
            )
        return [
            (shard, replace(query, members=placed.of(shard), first=self.ordered))
            for shard in shards
        ]

    async def __aiter__(self) -> AsyncGenerator[pl.Series, None]:
        findings: list[pl.DataFrame] = []
        async with aclosing(super().__aiter__()) as items:
            async for item in items:
                if isinstance(item, pl.Series):
                    yield item
                else:
                    findings.append(item)
        decided = await self._decided(findings)
        if len(decided):
            yield decided

    async def ascending(self) -> AsyncGenerator[pl.Series, None]:
        """Use it instead of iterating, if the audience was created `ordered`: all users in
        ascending order. Raises the errors of iterating.
        """
        streams = self.streams()
        heads = await asyncio.gather(*map(_head, streams))
        findings = [frame for found, _ in heads for frame in found]
        parts = [_users(first, stream) for (_, first), stream in zip(heads, streams, strict=True)]
        decided = await self._decided(findings)
        if len(decided):
            parts.append(_users(decided, None))
        async with aclosing(ascending(parts)) as merged:
            async for users in merged:
                yield users

    async def _decided(self, findings: Sequence[pl.DataFrame]) -> pl.Series:
        """The persons with several ids who match, in order."""
        if not findings:
            return pl.Series("user", [], dtype=pl.String)
        return await asyncio.to_thread(partial(matching, self.plan, pl.concat(findings)))


def outcome(error: BaseException | None) -> str:
    """The end of an audience, as a metric has it: `left` if its reader has left."""
    if error is None:
        return "answered"
    if not isinstance(error, Exception):
        return "left"
    return "refused" if isinstance(error, UsageError | RefusedAnswer | Problem) else "failed"


async def _head(
    stream: AsyncGenerator[AudienceItem, None],
) -> tuple[list[pl.DataFrame], pl.Series | None]:
    """The findings at the beginning of a stream, and its first users."""
    findings: list[pl.DataFrame] = []
    async for item in stream:
        if isinstance(item, pl.Series):
            return findings, item
        findings.append(item)
    return findings, None


async def _users(
    first: pl.Series | None, stream: AsyncGenerator[AudienceItem, None] | None
) -> AsyncGenerator[pl.Series, None]:
    if first is not None:
        yield first
    if stream is not None:
        async with aclosing(stream):
            async for item in stream:
                if isinstance(item, pl.Series):
                    yield item

"""An audience over all shards: one query, one generation, all shards or none."""

from dataclasses import dataclass

import polars as pl

from agents.audience.live_plan_facts import LivePlanFacts
from agents.filters.nodes import Node
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from agents.filters.refusals import OnExpired, Refused
from agents.scatter.audience_query import AudienceQuery
from agents.scatter.context import WorkerContext
from agents.scatter.gatherer import Gatherer
from agents.supervision.shard_manager import NotHeld
from schemas.errors import Fatal

__all__ = ["Audience", "Question", "RefusedAnswer"]


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


class Audience(Gatherer[pl.Series]):
    """The matching users of all shards: series of users, each shard's in ascending order.

    Entering the context plans the filter. It raises RefusedAnswer, FilterError (a range that is
    empty at this `now`, or too many sources) and Unavailable. `plan` is set after entering.
    """

    def __init__(self, context: WorkerContext, question: Question) -> None:
        super().__init__(context)
        self._question = question
        self.plan: FilterPlan

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

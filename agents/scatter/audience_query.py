"""One shard's part of an audience."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import polars as pl

from agents.filters.plan_nodes import FilterPlan
from agents.scatter.context import WorkerContext
from agents.scatter.plan_json import MOST_BYTES, decode, encode
from agents.scatter.query import ShardStream, StreamQuery
from agents.scatter.wire import Truncated
from agents.supervision.shard_manager import Shard

__all__ = ["AudienceQuery"]


@dataclass(frozen=True, slots=True)
class AudienceQuery(StreamQuery[pl.Series]):
    """The matching users of a shard in ascending order, in parts.

    `encoded` is the plan as sent to other workers, encoded once for all shards.
    """

    plan: FilterPlan
    encoded: bytes

    name = "audience"
    summary = "One shard's users that match"
    most_bytes = MOST_BYTES

    @classmethod
    def of(cls, plan: FilterPlan) -> Self:
        """The query of a plan. Raises FilterError (`too_large`)."""
        return cls(plan, encode(plan))

    def body(self) -> bytes:
        """The plan."""
        return self.encoded

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises BadPlan, which is Recoverable."""
        return cls(decode(body), body)

    async def here(self, context: WorkerContext, shard: Shard) -> ShardStream[pl.Series]:
        """Raises NotHeld if the shard does not hold the versions that the plan pins."""
        # before the pin: what is folded after that is not in the answer
        status = shard.status
        waiting = status.events_behind + sum(context.topics.unread(shard.partition).values())
        return ShardStream(await shard.audience(self.plan), waiting, status.events_held_back)

    def to_frame(self, item: pl.Series) -> pl.DataFrame:
        """One column, `user`."""
        return item.to_frame("user")

    def from_frame(self, frame: pl.DataFrame) -> pl.Series:
        """Raises Truncated for any other frame."""
        if frame.schema != {"user": pl.String}:
            raise Truncated("another worker sends something else than users")
        return frame["user"]

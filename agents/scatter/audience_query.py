"""One shard's part of an audience.

The body is the plan as JSON; or, with members, a byte 0, the length of the plan (uint32
big-endian), the plan, and one frame of the members' ids.
"""

import struct
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Self

import polars as pl

from agents.filters.plan_nodes import FilterPlan
from agents.filters.tally import FINDINGS
from agents.scatter.context import WorkerContext
from agents.scatter.merge_map import NO_MEMBERS_HERE, MembersOfShard
from agents.scatter.plan_json import MOST_BYTES, BadPlan, decode, encode
from agents.scatter.query import ShardStream, StreamQuery
from agents.scatter.wire import Truncated, unpack_all
from agents.shard.audience_part import AudiencePart, Members
from agents.supervision.shard_manager import Shard

__all__ = ["MOST_MEMBER_BYTES", "AudienceItem", "AudienceQuery"]

AudienceItem = pl.Series | pl.DataFrame
"""Matching users; or findings, which have `user` and `person` instead of `at` at the worker that
asks: neither is null.
"""

MOST_MEMBER_BYTES = 40 << 20
"""Of the ids of a shard's users who take part in merges: about two million of them."""
_LENGTH = struct.Struct(">BI")


@dataclass(frozen=True, slots=True, eq=False)
class AudienceQuery(StreamQuery[AudienceItem]):
    """The matching users of a shard in ascending order, in parts; and of `members` what the plan
    asks, with `first` before all others.

    `encoded` is the plan as sent to other workers, encoded once for all shards.
    """

    plan: FilterPlan
    encoded: bytes
    members: MembersOfShard = NO_MEMBERS_HERE
    first: bool = False

    name = "audience"
    summary = "One shard's users that match"
    most_bytes = MOST_BYTES + MOST_MEMBER_BYTES

    @classmethod
    def of(cls, plan: FilterPlan) -> Self:
        """The query of a plan. Raises FilterError (`too_large`)."""
        return cls(plan, encode(plan))

    def params(self) -> Mapping[str, str]:
        """Whether members come first."""
        return {"members": "first"} if self.first else {}

    def body(self) -> bytes:
        """The plan and the members."""
        if not self.members.encoded:
            return self.encoded
        return _LENGTH.pack(0, len(self.encoded)) + self.encoded + self.members.encoded

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises BadPlan, which is Recoverable."""
        first = params.get("members") == "first"
        if body[:1] != b"\0":
            return cls(decode(body), body, first=first)
        try:
            _, length = _LENGTH.unpack_from(body)
            frames = await unpack_all(body[_LENGTH.size + length :])
        except (struct.error, Truncated) as error:
            raise BadPlan(f"the members of another worker cannot be read: {error}") from error
        if len(frames) != 1 or frames[0].schema != {"user": pl.String}:
            raise BadPlan("another worker sends something else than members")
        encoded = body[_LENGTH.size : _LENGTH.size + length]
        return cls(decode(encoded), encoded, MembersOfShard(frames[0]), first)

    async def here(self, context: WorkerContext, shard: Shard) -> ShardStream[AudienceItem]:
        """Raises NotHeld if the shard does not hold the versions that the plan pins."""
        # before the pin: what is folded after that is not in the answer
        status = shard.status
        waiting = status.events_behind + sum(context.topics.unread(shard.partition).values())
        parts = await shard.audience(self.plan, Members(self.members.users["user"], self.first))
        return ShardStream(self._asked(parts), waiting, status.events_held_back)

    async def _asked(
        self, parts: AsyncGenerator[AudiencePart, None]
    ) -> AsyncGenerator[AudienceItem, None]:
        try:
            async for part in parts:
                if part.findings is not None:
                    yield self._named(part.findings)
                if part.users is not None:
                    yield part.users
        finally:
            await parts.aclose()

    def _named(self, findings: pl.DataFrame) -> pl.DataFrame:
        members = self.members.users
        if "person" not in members.columns:  # asked by another worker, which knows the persons
            return findings
        named = findings.join(members.with_row_index("at"), on="at", maintain_order="left")
        return named.drop("at").drop_nulls("person")

    def to_frame(self, item: AudienceItem) -> pl.DataFrame:
        """One column, `user`; or findings."""
        return item.to_frame("user") if isinstance(item, pl.Series) else item

    def from_frame(self, frame: pl.DataFrame) -> AudienceItem:
        """Raises Truncated for any other frame."""
        if frame.schema == {"user": pl.String}:
            return frame["user"]
        if frame.schema != FINDINGS:
            raise Truncated("another worker sends something else than users")
        return self._named(frame)

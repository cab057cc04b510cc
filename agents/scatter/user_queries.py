"""Queries about users to one shard: read them, find them by identifier, identify them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Self

import aiohttp
import polars as pl

from agents.resources.threads import execute
from agents.scatter.context import WorkerContext
from agents.scatter.query import FRAMES, UnaryQuery
from agents.scatter.wire import END, Truncated, json_of, lists_of, pack, unpack, unpack_all
from agents.supervision.shard_manager import Shard
from agents.users.facts import ArchivedUser, UserFacts, UsersRead
from agents.users.person import Match, Person
from schemas.errors import Recoverable, UsageError
from schemas.tables.interaction import SCHEMA
from schemas.tables.roster import ROSTER_SCHEMA, Alias

__all__ = ["ArchivedUserQuery", "FindQuery", "IdentifyQuery", "UsersQuery"]

ANSWER_S = 20.0
#: All archived segments of a shard may have to be read for one user.
ARCHIVE_S = 60.0


@dataclass(frozen=True, slots=True)
class UsersQuery(UnaryQuery[UsersRead]):
    """All data about at most 50 users."""

    users: Sequence[str]

    name = "users"
    summary = "Everything about some users of a shard"
    wait_s = ANSWER_S
    media = FRAMES

    def body(self) -> bytes:
        """`{"users": [..]}`."""
        return json.dumps({"users": list(self.users)}).encode()

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises UsageError."""
        return cls(lists_of(body, "users")["users"])

    async def here(self, context: WorkerContext, shard: Shard) -> UsersRead:
        """Raises NotHeld."""
        return await shard.users(self.users)

    async def pack(self, found: UsersRead) -> bytes:
        """Two frames: the users' facts, then all their rows."""
        return await execute(partial(_pack_users, found))

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> UsersRead:
        """See `pack`."""
        meta, rows = [frame async for frame in unpack(answer.content)]
        return _unpack_users(json.loads(meta.item()), rows)


@dataclass(frozen=True, slots=True)
class ArchivedUserQuery(UnaryQuery[ArchivedUser]):
    """What hidden sources have of a user, read in the archive of the user's shard."""

    user: str

    name = "archived-user"
    summary = "What hidden sources of a shard have of a user"
    wait_s = ARCHIVE_S
    media = FRAMES

    def body(self) -> bytes:
        """`{"users": [..]}`, with one user."""
        return json.dumps({"users": [self.user]}).encode()

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises UsageError."""
        users = lists_of(body, "users")["users"]
        if len(users) != 1:
            raise UsageError("one user is expected")
        return cls(users[0])

    async def here(self, context: WorkerContext, shard: Shard) -> ArchivedUser:
        """Raises NotHeld, and Recoverable if the archive does not answer in time."""
        try:
            async with asyncio.timeout(ARCHIVE_S):
                return await shard.archived_user(self.user)
        except TimeoutError as error:
            raise Recoverable(
                f"The archive of shard {shard.partition} is not read after {ARCHIVE_S:.0f} s"
            ) from error

    async def pack(self, found: ArchivedUser) -> bytes:
        """Two frames: what was read, then the rows."""
        names = ("sources", "segments", "bytes", "damaged")
        meta = {name: getattr(found, name) for name in names}
        frame = pl.DataFrame({"meta": [json.dumps(meta)]})
        return await execute(lambda: pack(frame) + pack(found.rows) + END)

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> ArchivedUser:
        """Raises Truncated for rows of another schema."""
        meta, rows = [frame async for frame in unpack(answer.content)]
        if rows.schema != SCHEMA:
            raise Truncated(f"{answer.url} sends something else than interactions")
        read = json.loads(meta.item())
        damaged = tuple((str(source), str(line)) for source, line in read["damaged"])
        return ArchivedUser(rows, tuple(read["sources"]), read["segments"], read["bytes"], damaged)


@dataclass(frozen=True, slots=True)
class FindQuery(UnaryQuery[list[Match]]):
    """The users with one of these identifiers."""

    externals: Sequence[str]
    aliases: Sequence[Alias]

    name = "find"
    summary = "Who in a shard bears an identifier"
    wait_s = ANSWER_S

    def body(self) -> bytes:
        """`{"external_ids": [..], "aliases": [[name, label], ..]}`."""
        asked = {"external_ids": list(self.externals), "aliases": list(self.aliases)}
        return json.dumps(asked).encode()

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises UsageError."""
        asked = lists_of(body, "external_ids", "aliases")
        try:
            return cls(asked["external_ids"], [Alias(*each) for each in asked["aliases"]])
        except TypeError as error:
            raise UsageError("An alias has a name and a label") from error

    async def here(self, context: WorkerContext, shard: Shard) -> list[Match]:
        """Raises NotHeld."""
        return await shard.find_users(self.externals, self.aliases)

    async def pack(self, found: list[Match]) -> bytes:
        """`{"matches": [[..], ..]}`."""
        matches = [list(asdict(match).values()) for match in found]
        return json.dumps({"matches": matches}).encode()

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> list[Match]:
        """See `pack`."""
        return [Match(*found) for found in (await json_of(answer))["matches"]]


@dataclass(frozen=True, slots=True, eq=False)
class IdentifyQuery(UnaryQuery[pl.DataFrame]):
    """The roster's last rows of many users: a series of users, a frame of ROSTER_SCHEMA."""

    users: pl.Series

    name = "identify"
    summary = "What a shard's roster says of many users"
    wait_s = ANSWER_S
    media = FRAMES

    def body(self) -> bytes:
        """One frame of users."""
        return pack(self.users.rename("user").to_frame()) + END

    @classmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """Raises UsageError."""
        try:
            frames = await unpack_all(body)
        except Truncated as error:
            raise UsageError(str(error)) from error
        if len(frames) != 1 or frames[0].schema != {"user": pl.String}:
            raise UsageError("one frame of users is expected")
        return cls(frames[0]["user"])

    async def here(self, context: WorkerContext, shard: Shard) -> pl.DataFrame:
        """Raises NotHeld."""
        return await shard.identify(self.users)

    async def pack(self, found: pl.DataFrame) -> bytes:
        """One frame."""
        return await asyncio.to_thread(pack, found) + END

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> pl.DataFrame:
        """Raises Truncated for a frame of another schema."""
        (found,) = [frame async for frame in unpack(answer.content)]
        if found.schema != ROSTER_SCHEMA:
            raise Truncated(f"{answer.url} sends something else than a roster")
        return found


def _pack_users(read: UsersRead) -> bytes:
    """The bytes sent between workers: the users' facts, then all their rows."""
    header = {
        "archived": read.archived,
        "users": [
            {
                "user": facts.user,
                "person": None if facts.person is None else facts.person.to_json(),
                "hidden": facts.hidden,
                "feed_views": facts.feed_views,
            }
            for facts in read.facts.values()
        ],
    }
    rows = [facts.rows for facts in read.facts.values()]
    meta = pl.DataFrame({"meta": [json.dumps(header)]})
    return pack(meta) + pack(pl.concat(rows)) + END


def _unpack_users(header: dict[str, Any], rows: pl.DataFrame) -> UsersRead:
    """What `_pack_users` wrote."""
    by_user = rows.partition_by("user", as_dict=True)
    facts = {}
    for each in header["users"]:
        user, person = each["user"], each["person"]
        facts[user] = UserFacts(
            user=user,
            person=None if person is None else Person.from_json(person),
            rows=by_user.get((user,), rows.clear()),
            hidden=each["hidden"],
            feed_views=each["feed_views"],
        )
    return UsersRead(facts, tuple(header["archived"]))

"""Asking one shard about users, wherever it runs: retried, of one generation, or 503."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
import polars as pl

from agents.http.problems import shards_unavailable
from agents.scatter.context import Context
from agents.scatter.parts import GENERATION
from agents.scatter.trouble import trouble
from agents.scatter.wire import END, Truncated, json_of, pack, unpack
from agents.supervision.shard_manager import NotHeld, Shard
from agents.users.facts import UserFacts, UsersRead
from agents.users.person import Match, Person
from schemas.errors import Recoverable
from schemas.tables.roster import Alias

__all__ = [
    "ask_shard",
    "find_in",
    "identify_in",
    "pack_users",
    "patiently",
    "read_in",
    "states_read",
    "unpack_users",
]

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
PAUSE_S = 0.1
ANSWER_S = 20.0

T = TypeVar("T")


def states_read(context: Context) -> None:
    """Raises Problem (503) while this worker does not know which sources are hidden."""
    if not context.states.caught_up.is_set():
        raise shards_unavailable("This worker has not read the state of the sources yet")


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Tries again for a few seconds while shards are on their way. Raises Problem (503)."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        try:
            return await attempt()
        except Recoverable as error:
            if loop.time() > deadline:
                log.info("users cannot be read now: %s", error)
                raise shards_unavailable(f"The users cannot be read now: {error}") from error
        await asyncio.sleep(PAUSE_S)


async def read_in(context: Context, partition: int, users: Sequence[str]) -> UsersRead:
    """At most 50 users of one shard. Raises Recoverable."""

    async def parse(answer: aiohttp.ClientResponse) -> UsersRead:
        meta, rows = [frame async for frame in unpack(answer.content)]
        return unpack_users(json.loads(meta.item()), rows)

    body = json.dumps({"users": list(users)}).encode()
    return await ask_shard(
        context, partition, lambda shard: shard.users(users), "users", body, parse
    )


async def find_in(
    context: Context, partition: int, externals: Sequence[str], aliases: Sequence[Alias]
) -> list[Match]:
    """Who in one shard bears one of these identifiers. Raises Recoverable."""

    async def parse(answer: aiohttp.ClientResponse) -> list[Match]:
        return [Match(*found) for found in (await json_of(answer))["matches"]]

    body = json.dumps({"external_ids": list(externals), "aliases": list(aliases)}).encode()
    return await ask_shard(
        context, partition, lambda shard: shard.find_users(externals, aliases), "find", body, parse
    )


async def identify_in(context: Context, partition: int, users: pl.Series) -> pl.DataFrame:
    """The roster's last rows of many users of one shard. Raises Recoverable."""

    async def parse(answer: aiohttp.ClientResponse) -> pl.DataFrame:
        (found,) = [frame async for frame in unpack(answer.content)]
        return found

    body = pack(users.rename("user").to_frame()) + END
    return await ask_shard(
        context, partition, lambda shard: shard.identify(users), "identify", body, parse
    )


async def ask_shard(
    context: Context,
    partition: int,
    here: Callable[[Shard], Awaitable[T]],
    path: str,
    body: bytes,
    parse: Callable[[aiohttp.ClientResponse], Awaitable[T]],
) -> T:
    """The answer of a shard of this worker or of another of the same generation.

    Raises Recoverable: NotHeld where it is not there, Truncated where an answer breaks off.
    """
    manager, generation = context.manager, context.manager.generation
    manager.check_in_touch()
    if partition in manager.shards:
        shard = manager.shards[partition]
        if shard is None:
            raise NotHeld(f"shard {partition} is recovering")
        found = await here(shard)
    else:
        address = manager.directory.shards.get(partition)
        if address is None:
            raise NotHeld(f"nobody serves shard {partition} yet")
        url = f"{address}/internal/shards/{partition}/{path}"
        found = await _remote(context, url, body, parse)
    if manager.generation != generation:
        raise NotHeld("the group has a new generation")
    return found


async def _remote(
    context: Context,
    url: str,
    body: bytes,
    parse: Callable[[aiohttp.ClientResponse], Awaitable[T]],
) -> T:
    try:
        async with asyncio.timeout(ANSWER_S), context.ask("POST", url, body=body) as answer:
            if answer.status != HTTPStatus.OK:
                raise NotHeld(f"{url} answers {answer.status}")
            generation = answer.headers.get(GENERATION, "none")
            if generation != str(context.manager.generation):
                raise NotHeld(f"{url} is of generation {generation}")
            return await parse(answer)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{url}: {trouble(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise Truncated(f"{url} sends something else: {error!r}") from error


def pack_users(read: UsersRead) -> bytes:
    """As one worker sends it to another: what is told of the users, then all their rows."""
    told = {
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
    meta = pl.DataFrame({"meta": [json.dumps(told)]})
    return pack(meta) + pack(pl.concat(rows)) + END


def unpack_users(told: dict[str, Any], rows: pl.DataFrame) -> UsersRead:
    """What `pack_users` wrote."""
    by_user = rows.partition_by("user", as_dict=True)
    facts = {}
    for each in told["users"]:
        user, person = each["user"], each["person"]
        facts[user] = UserFacts(
            user=user,
            person=None if person is None else Person.from_json(person),
            rows=by_user.get((user,), rows.clear()),
            hidden=each["hidden"],
            feed_views=each["feed_views"],
        )
    return UsersRead(facts, tuple(told["archived"]))

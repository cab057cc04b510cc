"""Users that are merged in pairs before a measurement: their rows lie in any two shards."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from agents.tools.bench.field import Field
from agents.tools.bench.worker import Worker
from agents.tools.publish import Chunk, publish
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.registry import own_id

__all__ = ["merge"]

_CHUNK = 50_000
_PAUSE_S = 0.5


async def merge(
    here: Field,
    worker: Worker,
    session: aiohttp.ClientSession,
    asked: Mapping[str, Any],
    count: int,
    deadline_s: float,
) -> None:
    """Merge so many users who match a filter into as many others, and wait until answers know it.

    Raises Fatal if too few users match, or the worker does not read the records in time.
    """
    users = await _users(worker, session, asked, 2 * count)
    before = await _count(worker, session, asked)
    chunks = []
    for at in range(0, count, _CHUNK):
        part = range(at, min(at + _CHUNK, count))
        values: list[bytes | None] = [
            codec.encode(
                "user", {"user_id": users[n], "merged_into": users[count + n]}, own_id("user")
            )
            for n in part
        ]
        chunks.append(Chunk("users", [users[n].encode() for n in part], values))
    await publish(here.settings, chunks)
    end = time.monotonic() + deadline_s
    while await _count(worker, session, asked) != before - count:
        if time.monotonic() > end:
            raise Fatal(f"{count:,} merges are not known after {deadline_s:.0f} s")
        await asyncio.sleep(_PAUSE_S)


async def _users(
    worker: Worker, session: aiohttp.ClientSession, asked: Mapping[str, Any], count: int
) -> list[str]:
    body = {"filter": asked, "limit": count}
    headers = {"Accept": "application/x-ndjson"}
    async with session.post(f"{worker.url}/audience", json=body, headers=headers) as answer:
        lines = (await answer.read()).splitlines()
    if answer.status != 200 or len(lines) != count + 1:
        raise Fatal(f"{len(lines) - 1:,} users match, and {count:,} are to be merged")
    return [json.loads(line)["user"] for line in lines[:-1]]


async def _count(worker: Worker, session: aiohttp.ClientSession, asked: Mapping[str, Any]) -> int:
    body = {"filter": asked, "limit": 0}
    async with session.post(f"{worker.url}/audience", json=body) as answer:
        found = await answer.json()
        if answer.status != 200:
            raise Fatal(f"/audience answers {answer.status}: {found}")
    return int(found["count"])

"""Sizes of sources, summed over all shards of all workers."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from agents.scatter.context import Context
from agents.scatter.wire import json_of
from agents.supervision.shard_manager import SourceSize
from schemas.errors import Recoverable

__all__ = ["Sizes", "sizes", "sizes_here"]

log = logging.getLogger(__name__)

DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes by source; without those of the shards in `missing`."""

    by_source: dict[str, SourceSize]
    missing: tuple[int, ...]


async def sizes(context: Context, sources: Sequence[str]) -> Sizes:
    """Ask this worker and all others for the sizes of `sources`."""
    if not context.manager.in_touch:
        unknown = {source: SourceSize() for source in sources}
        return Sizes(unknown, tuple(range(context.settings.partitions)))
    here = set(context.manager.shards)
    others = {
        address for shard, address in context.manager.directory.shards.items() if shard not in here
    }
    answers = await asyncio.gather(*(_ask(context, address, sources) for address in sorted(others)))
    by_shard: dict[str, dict[str, dict[str, int]]] = sizes_here(context, list(sources))
    for answer in answers:
        # what is here counts once, even where another worker thinks that it holds it too
        by_shard = answer | by_shard
    total: dict[str, SourceSize] = {source: SourceSize() for source in sources}
    for held in by_shard.values():
        for source, size in held.items():
            total[source] += SourceSize(**size)
    shards = range(context.settings.partitions)
    return Sizes(total, tuple(shard for shard in shards if str(shard) not in by_shard))


async def _ask(context: Context, address: str, sources: Sequence[str]) -> dict[str, Any]:
    body = orjson.dumps({"sources": list(sources)})
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            context.ask("POST", f"{address}/internal/sizes", body=body) as answer,
        ):
            if answer.status != HTTPStatus.OK:
                return {}
            told = await json_of(answer)
    except (aiohttp.ClientError, TimeoutError, OSError, Recoverable) as error:
        log.info("no sizes from %s: %r", address, error)
        return {}
    if told.get("generation") != context.manager.generation:
        return {}
    try:
        return {
            str(shard): {source: asdict(SourceSize(**size)) for source, size in held.items()}
            for shard, held in told["shards"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        log.warning("sizes from %s are none: %r", address, error)
        return {}


def sizes_here(context: Context, sources: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Sizes of `sources` by shard and source, of the shards here that are ready."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for partition, shard in context.manager.shards.items():
        if shard is None or not shard.ready:
            continue
        try:
            sizes = shard.sources()
        except Recoverable:
            continue  # it is left out, like one that is not ready
        held = {source: asdict(sizes[source]) for source in sources if source in sizes}
        found[str(partition)] = held
    return found

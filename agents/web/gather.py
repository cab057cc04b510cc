"""One source's rows from all shards: of one version, from all or from none."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Self

import polars as pl

from agents.web.context import Context
from agents.web.parts import part
from agents.web.problems import (
    legacy_deleted,
    shards_unavailable,
    source_hidden,
    unknown_source,
)
from schemas.errors import Recoverable
from schemas.lifecycle import SourceState

__all__ = ["Gathered", "visible"]

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
PAUSE_S = 0.25
FIRST_PART_S = 10.0
READY_FRAMES = 2

_Frames = AsyncGenerator[pl.DataFrame, None]


def visible(context: Context, source: str) -> SourceState:
    """The source's record, if its data may take part in answers.

    Raises Problem: not ready (503), unknown (404), legacy-deleted (410), hidden (409).
    """
    if not context.states.caught_up.is_set():
        raise shards_unavailable("This worker has not read the state of the sources yet")
    record = context.states.get(source)
    if record is None:
        raise unknown_source(source)
    if record.legacy_deleted:
        raise legacy_deleted(source)
    if record.hidden:
        raise source_hidden(source, record.state.value)
    return record


class Gathered:
    """An asynchronous iterator over the folded rows of one source, from all shards.

    Entering pins a version and waits for the first frame of every shard; so an answer that
    has begun lacks a shard only if that shard breaks off, which raises Recoverable. At
    most one frame a shard and two more are in memory. Entering raises Problem.
    """

    def __init__(self, context: Context, source: str) -> None:
        self._context = context
        self._source = source
        self._parts: list[tuple[pl.DataFrame | None, _Frames]] = []
        self._pumps: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            # asked again each time: meanwhile the source may have changed, or be hidden
            version = visible(self._context, self._source).version
            try:
                self._parts = await self._open(version)
            except Recoverable as error:
                if loop.time() > deadline:
                    log.info("%s cannot be read now: %s", self._source, error)
                    raise shards_unavailable(
                        f"{self._source} cannot be read now: {error}"
                    ) from error
                await asyncio.sleep(PAUSE_S)
            else:
                return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await _close([frames for _, frames in self._parts])

    async def __aiter__(self) -> _Frames:
        ready: asyncio.Queue[pl.DataFrame | Exception | None] = asyncio.Queue(READY_FRAMES)
        parts, self._parts = self._parts, []
        self._pumps = [asyncio.create_task(_pump(*opened, ready)) for opened in parts]
        left = len(parts)
        while left:
            item = await ready.get()
            if item is None:
                left -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield item

    async def _open(self, version: int) -> list[tuple[pl.DataFrame | None, _Frames]]:
        shards = range(self._context.settings.partitions)
        parts = [part(self._context, shard, self._source, version) for shard in shards]
        firsts = [asyncio.create_task(_first(frames)) for frames in parts]
        try:
            return list(zip(await asyncio.gather(*firsts), parts, strict=True))
        except BaseException:
            for first in firsts:
                first.cancel()
            await asyncio.gather(*firsts, return_exceptions=True)
            await _close(parts)
            raise


async def _first(frames: _Frames) -> pl.DataFrame | None:
    try:
        async with asyncio.timeout(FIRST_PART_S):
            return await anext(frames, None)
    except TimeoutError as error:
        raise Recoverable(f"a shard did not answer within {FIRST_PART_S:.0f} s") from error


async def _pump(
    first: pl.DataFrame | None,
    frames: _Frames,
    ready: asyncio.Queue[pl.DataFrame | Exception | None],
) -> None:
    try:
        async with aclosing(frames):
            if first is not None:
                await ready.put(first)
                async for frame in frames:
                    await ready.put(frame)
        await ready.put(None)
    except Exception as error:
        await ready.put(error)


async def _close(parts: list[_Frames]) -> None:
    for frames in parts:
        await frames.aclose()

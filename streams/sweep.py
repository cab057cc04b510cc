"""Reading all rows of one source, folded, without holding them all.

Segments of a source overlap in their ranges of users. Taken in the order of their first
user, everything below the first user of the next segment can no longer change: so a sweep
holds only the segments that overlap at one place.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import polars as pl

from schemas.fold import fold
from schemas.segment import SegmentIndex, decode

__all__ = ["sweep"]

_PER_FRAME = 200_000


async def sweep(
    source: str,
    segments: Sequence[SegmentIndex],
    deltas: Sequence[pl.DataFrame],
    load: Callable[[SegmentIndex], bytes],
) -> AsyncIterator[pl.DataFrame]:
    """Folded frames in `interaction.SCHEMA`, in ascending ranges of users; none is empty.

    `load` gives a segment's bytes and is called in threads. No key stands in two frames.
    """

    def rows(index: SegmentIndex) -> pl.DataFrame:
        return decode(load(index), [source] if len(index.sources) > 1 else None)

    def low(index: SegmentIndex) -> str:
        # In a shared segment the source's own users may begin anywhere.
        return index.low[1] if index.low[0] == source else ""

    waiting = sorted(segments, key=low, reverse=True)
    held = [frame for frame in deltas if frame.height]
    while waiting or held:
        while waiting and (
            sum(frame.height for frame in held) < _PER_FRAME or low(waiting[-1]) == ""
        ):
            held.append(await asyncio.to_thread(rows, waiting.pop()))
        bound = low(waiting[-1]) if waiting else None
        ready, rest = await asyncio.to_thread(_split, held, bound)
        if ready.height:
            yield ready
        elif waiting:
            # Everything held lies at or above the next segment: take that one in too.
            held = [rest, await asyncio.to_thread(rows, waiting.pop())]
            continue
        held = [rest] if rest.height else []


def _split(held: Sequence[pl.DataFrame], bound: str | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = fold(pl.concat(held)) if held else pl.DataFrame()
    if bound is None or not rows.height:
        return rows, rows.clear()
    below = pl.col("user") < bound
    return rows.filter(below), rows.filter(~below)

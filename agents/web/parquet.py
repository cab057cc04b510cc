"""A Parquet file made on disk of frames as they come, within the quota, and sent only when whole.

Such a file has its index at its end, and its row groups want more rows than one frame has.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path

import polars as pl
from aiohttp import web

from agents.http.admission import WorkKind
from agents.http.pattern import pattern_of
from agents.http.problems import Problem, shards_unavailable
from agents.http.quota import Spooled
from agents.resources.threads import whole
from agents.scatter.context import CONTEXT
from agents.scatter.errors import Unavailable
from agents.web.caller import slot
from agents.web.stream import check_version, stream
from schemas.errors import Recoverable

__all__ = ["parquet"]

log = logging.getLogger(__name__)

_CHUNK = 1 << 18
_GROUP_ROWS = 1 << 17
_PART_BYTES = 10_000
"""What a file of a frame has beside its columns."""


async def parquet(
    request: web.Request,
    frames: AsyncGenerator[pl.DataFrame, None],
    nothing: pl.DataFrame,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Answer with a file of all rows. `nothing` is a frame of the same columns without rows;
    `headers` are read when the file is whole, so `frames` may add to them.

    Raises Problem (400, 429, 503), Unavailable, and the errors of `frames`.
    """
    check_version(request)
    async with aclosing(frames):
        with request.app[CONTEXT].spools.folder() as spooled:
            try:
                async with slot(request, WorkKind.FILE):
                    done = await _made(frames, nothing, spooled)
            except Unavailable:
                raise
            except Recoverable as error:
                raise shards_unavailable(f"The rows cannot be read now: {error}") from error
            except OSError as error:
                log.error("the file of %s cannot be made: %s", pattern_of(request), error)
                raise Problem("busy", f"The file cannot be made: {error.strerror}") from error
            return await stream(request, _chunks(done), headers)


async def _made(
    frames: AsyncGenerator[pl.DataFrame, None], nothing: pl.DataFrame, spooled: Spooled
) -> Path:
    """The whole file; the parts that it was made from are deleted."""
    number = 0
    async for frame in frames:
        part = spooled.folder / f"{number:08d}.arrow"
        number += 1
        most = int(frame.estimated_size()) + _PART_BYTES
        spooled.take(most)
        await whole(partial(frame.write_ipc, part, compression="lz4"))
        spooled.give(max(0, most - part.stat().st_size))
    parts = spooled.bytes
    spooled.take(parts)  # what is made of the parts is no larger than they are
    done = await whole(partial(_assemble, spooled.folder, nothing))
    spooled.give(parts + max(0, parts - done.stat().st_size))
    return done


async def _chunks(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _CHUNK):
            yield piece


def _assemble(folder: Path, nothing: pl.DataFrame) -> Path:
    parts = sorted(folder.glob("*.arrow"))
    done = folder / "all.parquet"
    frames = pl.scan_ipc(parts) if parts else nothing.lazy()
    frames.sink_parquet(done, compression="zstd", row_group_size=_GROUP_ROWS)
    for part in parts:
        part.unlink()
    return done
